//! What a collector is told.

use super::tables::{key, required, table};
use super::{DURATION, Form, Keys, Kind, TEXT};

static COLLECTOR: Form = Form { name: "a collector as http://host:port", pattern: "^http://.+$" };
static SHARE: Form = Form { name: "a share", pattern: "^[0-9.]+%$" };

pub static SIGNALS: &[&str] = &["traces", "metrics", "logs"];

pub static OBSERVE: Keys = table(
    "observe",
    "What a collector is told. Traces: a span for an exchange, for its request to the upstream, and for each call of a plugin. Metrics: what /metrics has. Logs: lines of the access log (which of them, `access-log` says) and of the log.",
    &[
        required("otlp", Kind::Text(&COLLECTOR), "\"http://127.0.0.1:4318\"", "A collector that takes OTLP over HTTP (protocol buffers)."),
        key(
            "signals",
            Kind::Either(&[Kind::Choice(SIGNALS), Kind::List(&Kind::Choice(SIGNALS))]),
            "[\"traces\", \"metrics\", \"logs\"]",
            "What it is told; traces unless written.",
        ),
        key("interval", Kind::Text(&DURATION), "\"30s\"", "How often it is told metrics; 30s unless written."),
        key(
            "sample",
            Kind::Text(&SHARE),
            "\"0.1%\"",
            "How many exchanges are traced; 1% unless written. Peers in `trusted-proxies` have theirs traced when they ask for it in `traceparent`.",
        ),
        key("service", Kind::Text(&TEXT), "\"edge\"", "What this proxy is called there (service.name); portcullis unless written."),
    ],
);
