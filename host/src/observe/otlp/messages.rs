//! The messages of `opentelemetry/proto/collector/trace/v1/trace_service.proto` and what they are made of, as far as we fill them: the rest
//! is absent, which protocol buffers allow. Field numbers are the specification's; a test reads them with the official definitions.

use super::{Attribute, Span, SpanEvent, Value};
use prost::Message as _;
use std::time::SystemTime;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<EventMessage>,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EventMessage {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(int32, tag = "3")]
    pub code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3, 4, 5, 6")]
    pub value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Pairs(KeyValues),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValues {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// `STATUS_CODE_ERROR`
const ERROR: i32 = 2;

pub(super) fn encode(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let spans = spans.into_iter().map(SpanMessage::from).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(Scope::ours()), spans }];
    ExportRequest { resource_spans: vec![ResourceSpans { resource: Some(Resource::of(service)), scope_spans }] }.encode_to_vec()
}

impl Resource {
    /// What is said of all that this process tells.
    pub fn of(service: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let texts = [
            ("service.name", service),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("telemetry.sdk.name", "portcullis"),
            ("host.name", host.trim()),
        ];
        let texts = texts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| Attribute::text(name, value));
        let process = Attribute::number("process.pid", std::process::id().into());
        Self { attributes: texts.chain([process]).map(KeyValue::from).collect() }
    }
}

impl Scope {
    pub fn ours() -> Self {
        Self { name: "portcullis".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

impl From<Span> for SpanMessage {
    fn from(span: Span) -> Self {
        Self {
            trace_id: span.trace.to_vec(),
            span_id: span.span.to_vec(),
            parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: span.name,
            kind: span.kind as i32,
            start_time_unix_nano: nanos(span.begun),
            end_time_unix_nano: nanos(span.ended.max(span.begun)),
            attributes: span.attributes.into_iter().map(KeyValue::from).collect(),
            events: span.events.into_iter().map(EventMessage::from).collect(),
            status: span.failed.then_some(Status { code: ERROR }),
        }
    }
}

impl From<SpanEvent> for EventMessage {
    fn from(event: SpanEvent) -> Self {
        let attributes = event.attributes.into_iter().map(KeyValue::from).collect();
        Self { time_unix_nano: nanos(event.at), name: event.name, attributes }
    }
}

impl From<Attribute> for KeyValue {
    fn from(Attribute { name, value }: Attribute) -> Self {
        let value = match value {
            Value::Text(text) => OneValue::Text(text),
            Value::Number(number) => OneValue::Number(number),
        };
        Self { key: name, value: Some(AnyValue { value: Some(value) }) }
    }
}

pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
