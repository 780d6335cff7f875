//! The messages of `opentelemetry/proto/collector/logs/v1/logs_service.proto` and what they are made of, as far as we fill them.

use super::LogRecord;
use super::messages::{AnyValue, ArrayValue, KeyValue, KeyValues, OneValue, Resource, Scope, nanos};
use prost::Message;
use serde_json::Value as Json;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<Record>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    #[prost(string, tag = "3")]
    pub severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    pub event_name: String,
}

pub(super) fn encode(service: &str, records: Vec<LogRecord>) -> Vec<u8> {
    ExportRequest::new(Resource::of(service), records).encode_to_vec()
}

impl ExportRequest {
    fn new(resource: Resource, records: Vec<LogRecord>) -> Self {
        let scope_logs = vec![ScopeLogs { scope: Some(Scope::ours()), log_records: records.into_iter().map(Record::from).collect() }];
        Self { resource_logs: vec![ResourceLogs { resource: Some(resource), scope_logs }] }
    }
}

impl From<LogRecord> for Record {
    fn from(record: LogRecord) -> Self {
        match record {
            LogRecord::Access { at, name, object } => {
                let attributes = match serde_json::from_slice(&object) {
                    Ok(Json::Object(members)) => members.into_iter().filter(|(name, _)| name != "timestamp").map(pair).collect(),
                    // Not so: it is ours.
                    _ => Vec::new(),
                };
                let (at, info) = (nanos(at), tracing::Level::INFO);
                Self {
                    time_unix_nano: at,
                    observed_time_unix_nano: at,
                    severity_number: number(info),
                    severity_text: info.to_string(),
                    body: None,
                    attributes,
                    event_name: name.to_owned(),
                }
            }
            LogRecord::Log { at, level, target, message, fields } => {
                let text = |value: String| AnyValue { value: Some(OneValue::Text(value)) };
                let all = [("code.namespace".to_owned(), target.to_owned())].into_iter().chain(fields);
                let attributes = all.map(|(key, value)| KeyValue { key, value: Some(text(value)) }).collect();
                let at = nanos(at);
                Self {
                    time_unix_nano: at,
                    observed_time_unix_nano: at,
                    severity_number: number(level),
                    severity_text: level.to_string(),
                    body: Some(text(message)),
                    attributes,
                    event_name: String::new(),
                }
            }
        }
    }
}

/// `SeverityNumber`: the first of each range.
const fn number(level: tracing::Level) -> i32 {
    match level {
        tracing::Level::TRACE => 1,
        tracing::Level::DEBUG => 5,
        tracing::Level::INFO => 9,
        tracing::Level::WARN => 13,
        tracing::Level::ERROR => 17,
    }
}

fn pair((key, value): (String, Json)) -> KeyValue {
    KeyValue { key, value: Some(any(value)) }
}

fn any(value: Json) -> AnyValue {
    let value = match value {
        Json::Null => None,
        Json::Bool(truth) => Some(OneValue::Truth(truth)),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(OneValue::Number(whole)),
            None => Some(OneValue::Float(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => Some(OneValue::Text(text)),
        Json::Array(items) => Some(OneValue::Array(ArrayValue { values: items.into_iter().map(any).collect() })),
        Json::Object(members) => Some(OneValue::Pairs(KeyValues { values: members.into_iter().map(pair).collect() })),
    };
    AnyValue { value }
}
