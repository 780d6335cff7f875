"""Reads metrics with Prometheus' own parsers; the format is the argument, the samples are JSON."""

import json
import sys

if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families

samples = []
names = set()
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in names, f"{family.name} comes twice"
    names.add(family.name)
    assert family.type != "unknown", f"{family.name} has no type"
    for sample in family.samples:
        samples.append({"family": family.name, "type": family.type, "name": sample.name, "labels": sample.labels, "value": sample.value})
json.dump(samples, sys.stdout)
