"""A collector made of the official definitions: reads OTLP over HTTP, writes each span, metric and record of a log as a line of JSON. Answers as
its argument says."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

status = int(sys.argv[1])


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(any_value, kind)
    if kind == "array_value":
        return [value(item) for item in held.values]
    return pairs(held.values) if kind == "kvlist_value" else held


def pairs(attributes):
    return {pair.key: value(pair.value) for pair in attributes}


def spans(body):
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
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


def metrics(body):
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                points = []
                for point in data.data_points:
                    told = {"attributes": pairs(point.attributes), "start": point.start_time_unix_nano, "time": point.time_unix_nano}
                    if kind == "histogram":
                        told |= {"count": point.count, "sum": point.sum, "buckets": list(point.bucket_counts), "bounds": list(point.explicit_bounds)}
                    else:
                        told["value"] = getattr(point, point.WhichOneof("value"))
                    points.append(told)
                yield {
                    "signal": "metric",
                    "resource": pairs(resource.resource.attributes),
                    "name": metric.name,
                    "unit": metric.unit,
                    "description": metric.description,
                    "kind": kind,
                    "cumulative": kind == "gauge" or data.aggregation_temporality == 2,
                    "monotonic": kind == "sum" and data.is_monotonic,
                    "points": points,
                }


def logs(body):
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield {
                    "signal": "log",
                    "resource": pairs(resource.resource.attributes),
                    "time": record.time_unix_nano,
                    "severity": record.severity_text,
                    "number": record.severity_number,
                    "event": record.event_name,
                    "body": value(record.body),
                    "attributes": pairs(record.attributes),
                }


SIGNALS = {
    "/v1/traces": (spans, ExportTraceServiceResponse),
    "/v1/metrics": (metrics, ExportMetricsServiceResponse),
    "/v1/logs": (logs, ExportLogsServiceResponse),
}


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/x-protobuf", (self.path, self.headers)
        read, answered = SIGNALS[self.path]
        for told in read(body):
            print(json.dumps(told), flush=True)
        answer = answered().SerializeToString()
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
