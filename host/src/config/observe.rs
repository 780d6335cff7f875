//! `[observe]`: where traces go.

use std::fmt;

/// `[observe]` as meant.
#[derive(Debug, Clone, PartialEq)]
pub struct ObserveSpec {
    pub otlp: Collector,
    /// Of exchanges, from 0 to 1: chosen by ourselves. Who is trusted may choose more.
    pub sample: f64,
    /// What traces call us.
    pub service: String,
}

/// Who takes spans: OTLP over HTTP, in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Without brackets.
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl ObserveSpec {
    /// Whether spans go to the same collector under the same name.
    pub fn goes_where(&self, other: &Self) -> bool {
        self.otlp == other.otlp && self.service == other.service
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
