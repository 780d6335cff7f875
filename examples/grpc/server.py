"""A gRPC server without generated code: messages are bytes. `python3 server.py 9001`"""
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

port = sys.argv[1]
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("hello.Greeter", {
    "Hello": grpc.unary_unary_rpc_method_handler(lambda name, _: b"hello " + name + b" from " + port.encode()),
    "Spell": grpc.unary_stream_rpc_method_handler(lambda name, _: (name[i:i + 1] for i in range(len(name)))),
    "Chat": grpc.stream_stream_rpc_method_handler(lambda words, _: (word.upper() for word in words)),
}),))
serving = health.HealthServicer()
serving.set("hello.Greeter", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(serving, server)
server.add_insecure_port(f"127.0.0.1:{port}")
server.start()
server.wait_for_termination()
