//! What a case says of the way to an upstream, of how its exchange ends, and of moments between exchanges.

use super::Expected;
use std::time::Duration;

/// A phase that happens in an exchange, and what is expected of it.
#[derive(Debug, Clone)]
pub struct Asked<T> {
    pub made: T,
    /// `None`: as it likes, as long as nothing breaks.
    pub expect: Option<Expected>,
}

/// What happens to an exchange between its request and its response, and after both. `None`: that does not happen.
#[derive(Debug, Clone, Default)]
pub struct GoingOutDeed {
    pub balance: Option<Asked<MadeChoice>>,
    pub attempt: Option<Asked<MadeAttempt>>,
    pub done: Option<Asked<MadeDone>>,
}

/// Servers of which one gets the request.
#[derive(Debug, Clone)]
pub struct MadeChoice {
    /// `None`: where the request is on its way to.
    pub upstream: Option<String>,
    pub failed: u32,
    /// More than one.
    pub servers: Vec<MadeServer>,
}

#[derive(Debug, Clone)]
pub struct MadeServer {
    /// Its place among all of the upstream's.
    pub number: u32,
    pub address: String,
    pub weight: u32,
    pub tags: Vec<String>,
    pub running: u32,
    /// Zero: nothing is known.
    pub latency: Duration,
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub struct MadeAttempt {
    /// `None`: the one that was chosen, or else the first.
    pub server: Option<String>,
    /// From 1.
    pub number: u32,
    pub brought: Brought,
    /// The server may have seen some of the request.
    pub sent: bool,
    /// Attempts that may follow.
    pub left: u32,
    /// Where the next one could go, but for the one that failed.
    pub servers: Vec<MadeServer>,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    Status(u16),
    /// Of [`ATTEMPT_REASONS`].
    Nothing(&'static str),
}

/// How an exchange ends. `None`: as it went.
#[derive(Debug, Clone, Default)]
pub struct MadeDone {
    /// `Some(None)`: it was forwarded to none.
    pub upstream: Option<Option<String>>,
    pub server: Option<Option<String>>,
    pub attempts: Option<u32>,
    /// `Some(None)`: the client was answered nothing.
    pub status: Option<Option<u16>>,
    /// Of [`END_REASONS`]. `None`: it ended as it should.
    pub reason: Option<&'static str>,
    pub duration: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub received: Option<u64>,
    pub sent: Option<u64>,
}

/// A moment between exchanges.
#[derive(Debug, Clone)]
pub struct TickDeed {
    pub number: u64,
    pub worker: u32,
    pub workers: u32,
    pub expect: Expected,
}

/// What can be decided of a choice.
pub const CHOICES: [&str; 3] = ["next", "choose", "fault"];
/// Of a failed attempt.
pub const JUDGEMENTS: [&str; 5] = ["next", "stop", "again", "again-on", "fault"];

/// Why an attempt brings no response: the reason tokens of the access log. A test holds them to those that the proxy has.
pub const ATTEMPT_REASONS: [&str; 15] = [
    "connect_refused",
    "connect_failed",
    "connect_timeout",
    "origin_certificate",
    "origin_tls",
    "origin_tls_alert",
    "origin_reset",
    "origin_refused",
    "response_timeout",
    "bad_response",
    "service_trap",
    "service_timeout",
    "service_memory",
    "service_answer",
    "service_overload",
];

/// Those that come before anything of the request was sent.
pub const UNSENT: [&str; 5] = ["connect_refused", "connect_failed", "connect_timeout", "origin_certificate", "origin_tls"];

/// Why an exchange that came to a link does not end as it should.
pub const END_REASONS: [&str; 40] = [
    "client_gone",
    "bad_body",
    "body_too_large",
    "body_timeout",
    "upgraded_idle",
    "no_destination",
    "fault_injected",
    "plugin_trap",
    "plugin_timeout",
    "plugin_memory",
    "plugin_bad_output",
    "plugin_overload",
    "plugin_abort",
    "response_too_large",
    "buffers_full",
    "connect_refused",
    "connect_failed",
    "connect_timeout",
    "no_servers",
    "origin_certificate",
    "origin_tls",
    "origin_tls_alert",
    "origin_reset",
    "origin_refused",
    "origin_gone",
    "response_timeout",
    "response_idle",
    "bad_response",
    "bad_response_body",
    "service_trap",
    "service_timeout",
    "service_memory",
    "service_answer",
    "service_overload",
    "exchange_timeout",
    "upstream_busy",
    "upstream_drained",
    "outlived",
    "overload",
    "stopped",
];
