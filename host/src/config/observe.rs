//! `[observe]`: what a collector is told.

use std::fmt;
use std::time::Duration;

/// `[observe]` as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct ObserveSpec {
    pub otlp: Collector,
    /// At least one, none twice.
    pub signals: Vec<Signal>,
    /// Between two times that numbers are told.
    pub interval: Duration,
    /// Of exchanges, from 0 to 1: chosen by ourselves. Who is trusted may choose more.
    pub sample: f64,
    /// What we are called there.
    pub service: String,
}

/// What a collector can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    /// Lines of the access log and of the log.
    Logs,
}

/// Who takes it: OTLP over HTTP, in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Without brackets.
    pub host: String,
    pub port: u16,
    /// Before `/v1/traces` and its like; empty, or with a slash before it and none behind.
    pub path: String,
}

impl ObserveSpec {
    /// Whether the same collector is told as much, as often and under the same name.
    pub fn goes_where(&self, other: &Self) -> bool {
        (&self.otlp, &self.service, &self.signals, self.interval) == (&other.otlp, &other.service, &other.signals, other.interval)
    }
}

impl Collector {
    /// As a `Host` field has it.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}
