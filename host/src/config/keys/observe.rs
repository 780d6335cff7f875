//! Where traces go.

use super::tables::{key, required, table};
use super::{Form, Keys, Kind, TEXT};

static COLLECTOR: Form = Form { name: "a collector as http://host:port", pattern: "^http://.+$" };
static SHARE: Form = Form { name: "a share", pattern: "^[0-9.]+%$" };

pub static OBSERVE: Keys = table(
    "observe",
    "Traces: a span for an exchange, for its request to the upstream, and for each call of a plugin.",
    &[
        required("otlp", Kind::Text(&COLLECTOR), "\"http://127.0.0.1:4318\"", "A collector that takes OTLP over HTTP (protocol buffers)."),
        key(
            "sample",
            Kind::Text(&SHARE),
            "\"0.1%\"",
            "How many exchanges are traced; 1% unless written. Peers in `trusted-proxies` have theirs traced when they ask for it in `traceparent`.",
        ),
        key("service", Kind::Text(&TEXT), "\"edge\"", "What traces call this proxy; portcullis unless written."),
    ],
);
