//! The messages of `opentelemetry/proto/collector/metrics/v1/metrics_service.proto` and what they are made of, as far as we fill them.

use super::super::exposition::{FamilyKind, Told, Value};
use super::Attribute;
use super::messages::{KeyValue, Resource, Scope, nanos};
use std::time::SystemTime;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ScopeMetrics {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metric {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub description: String,
    #[prost(string, tag = "3")]
    pub unit: String,
    #[prost(oneof = "Data", tags = "5, 7, 9")]
    pub data: Option<Data>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Data {
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    #[prost(message, tag = "7")]
    Sum(Sum),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Gauge {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Point>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sum {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<Point>,
    #[prost(int32, tag = "2")]
    pub temporality: i32,
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Histogram {
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<HistogramPoint>,
    #[prost(int32, tag = "2")]
    pub temporality: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Point {
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    #[prost(oneof = "Number", tags = "4, 6")]
    pub value: Option<Number>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Number {
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(sfixed64, tag = "6")]
    Whole(i64),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HistogramPoint {
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    #[prost(fixed64, repeated, tag = "6")]
    pub bucket_counts: Vec<u64>,
    #[prost(double, repeated, tag = "7")]
    pub explicit_bounds: Vec<f64>,
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: since the process began, as `/metrics` has it.
const CUMULATIVE: i32 = 2;

/// From when, and when, a number holds.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    now: u64,
}

impl ExportRequest {
    /// What was told since `started`.
    pub fn new(resource: Resource, told: Vec<Told>, started: SystemTime, now: SystemTime) -> Self {
        let span = Span { start: nanos(started), now: nanos(now) };
        let metrics = told.into_iter().filter(|told| !told.samples.is_empty()).map(|told| metric(told, span)).collect();
        let scope_metrics = vec![ScopeMetrics { scope: Some(Scope::ours()), metrics }];
        Self { resource_metrics: vec![ResourceMetrics { resource: Some(resource), scope_metrics }] }
    }
}

fn metric(told: Told, span: Span) -> Metric {
    let Told { name, help, kind, samples } = told;
    let (mut points, mut histograms) = (Vec::new(), Vec::new());
    for (labels, value) in samples {
        let attributes = labels.into_iter().map(|(name, value)| Attribute::text(name, value).into()).collect();
        match value {
            Value::Whole(value) => points.push(point(attributes, Number::Whole(i64::try_from(value).unwrap_or(i64::MAX)), span)),
            Value::Float(value) => points.push(point(attributes, Number::Float(value), span)),
            Value::Buckets { ends, counts, sum } => histograms.push(HistogramPoint {
                attributes,
                start_time_unix_nano: span.start,
                time_unix_nano: span.now,
                count: counts.iter().sum(),
                sum: Some(sum),
                bucket_counts: counts,
                explicit_bounds: ends,
            }),
        }
    }
    let data = match kind {
        FamilyKind::Gauge => Data::Gauge(Gauge { points }),
        FamilyKind::Counter => Data::Sum(Sum { points, temporality: CUMULATIVE, is_monotonic: true }),
        FamilyKind::Histogram => Data::Histogram(Histogram { points: histograms, temporality: CUMULATIVE }),
    };
    let unit = unit(&name).to_owned();
    Metric { name, description: help, unit, data: Some(data) }
}

fn point(attributes: Vec<KeyValue>, value: Number, span: Span) -> Point {
    Point { attributes, start_time_unix_nano: span.start, time_unix_nano: span.now, value: Some(value) }
}

/// As UCUM has it; what has none in its name is a count.
fn unit(name: &str) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}
