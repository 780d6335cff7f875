"""A collector made of the official definitions: reads OTLP over HTTP, writes each span as a line of JSON. Answers as its argument says."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

status = int(sys.argv[1])


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def pairs(attributes):
    return {pair.key: value(pair.value) for pair in attributes}


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf", (self.path, self.headers)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = {
                        "service": pairs(resource.resource.attributes)["service.name"],
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "begun": span.start_time_unix_nano,
                        "ended": span.end_time_unix_nano,
                        "attributes": pairs(span.attributes),
                        "events": [{"name": event.name, "attributes": pairs(event.attributes)} for event in span.events],
                        "failed": span.status.code == 2,
                    }
                    print(json.dumps(told), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
