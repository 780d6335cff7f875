//! What is said about the way to upstreams, and of how exchanges end: between those who go it and those who have a say in it
//! (`wit/upstreams.wit`).

use http::StatusCode;
use std::time::Duration;

/// A server that may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its place among the upstream's servers.
    pub number: u32,
    pub address: &'a str,
    pub weight: u32,
    pub tags: &'a [String],
    /// Requests that run on it.
    pub running: u32,
    /// What it took lately to a response head; zero: nothing is known.
    pub latency: Duration,
}

/// A request in need of a server.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    pub upstream: &'a str,
    /// Servers that have failed it.
    pub failed: u32,
    /// More than one.
    pub candidates: &'a [Candidate<'a>],
}

/// An attempt that brought no response, or one that somebody does not like.
#[derive(Debug, Clone, Copy)]
pub struct FailedAttempt<'a> {
    pub server: &'a str,
    /// Attempts made, this one included.
    pub attempt: u32,
    /// A reason token, or `status`.
    pub reason: &'a str,
    pub status: Option<StatusCode>,
    /// The server may have seen some of the request.
    pub sent: bool,
    /// Attempts that may follow.
    pub left: u32,
    pub candidates: &'a [Candidate<'a>],
}

/// What is to follow a failed attempt, as far as it is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Again {
    /// What the configuration says.
    #[default]
    AsConfigured,
    Stop,
    /// On a server chosen as at first.
    Anywhere,
    /// On the candidate at this place.
    On(usize),
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct Done<'a> {
    pub upstream: Option<&'a str>,
    /// The last one tried.
    pub server: Option<&'a str>,
    pub attempts: u32,
    pub status: Option<StatusCode>,
    /// Why it did not end as it should.
    pub reason: Option<&'static str>,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    /// Bytes of the bodies.
    pub received: u64,
    pub sent: u64,
}

/// A moment for those who work without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// From 0.
    pub number: u64,
    /// Which worker's, and of how many.
    pub worker: u32,
    pub workers: u32,
}
