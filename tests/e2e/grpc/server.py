"""A gRPC server without protobuf: messages are bytes. Arguments: address:port, and for TLS the paths of certificate and key."""
import sys
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

cancelled = []


def unary(request, context):
    context.set_trailing_metadata((("x-trailer", "yes"),))
    return b"got " + request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b"+".join(requests)


def bidi(requests, context):
    for request in requests:
        yield request.upper()


def fails(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")


def slow(request, context):
    context.add_callback(lambda: cancelled.append(context.is_active()))
    while context.is_active():
        time.sleep(0.02)
    return b"late"


def count(request, context):
    return b"%d" % len(cancelled)


def drip(request, context):
    yield b"one"
    while context.is_active():
        time.sleep(0.02)


def deadline(request, context):
    return b"%.1f" % (context.time_remaining() or 0)


status = health.HealthServicer()
status.set("", health_pb2.HealthCheckResponse.SERVING)
status.set("up.Service", health_pb2.HealthCheckResponse.SERVING)
status.set("down.Service", health_pb2.HealthCheckResponse.NOT_SERVING)


server = grpc.server(futures.ThreadPoolExecutor(32))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "Fails": grpc.unary_unary_rpc_method_handler(fails),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Count": grpc.unary_unary_rpc_method_handler(count),
    "Drip": grpc.unary_stream_rpc_method_handler(drip),
    "Deadline": grpc.unary_unary_rpc_method_handler(deadline),
}),))
health_pb2_grpc.add_HealthServicer_to_server(status, server)
if len(sys.argv) > 2:
    key, cert = open(sys.argv[3], "rb").read(), open(sys.argv[2], "rb").read()
    server.add_secure_port(sys.argv[1], grpc.ssl_server_credentials(((key, cert),)))
else:
    server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
