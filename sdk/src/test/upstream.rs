//! Choices, attempts and ends of exchanges as a test writes them, and what a plugin decided about them.

use super::Harness;
use super::apply::is_reserved;
use crate::abi::{Arena, Field, RawAttemptVerdict, RawBalanceVerdict, RawCandidate, Str, Strings, lower};
use crate::connection::Attributes;
use crate::head::Fields;
use crate::plan::{AttemptInterest, BalanceInterest, DoneInterest};
use crate::plugin::{OnAttempt, OnBalance, OnDone, OnTick};
use crate::upstream::{Candidates, Choice, Done, FailedAttempt, Tick, UpstreamEdits};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

/// A server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentServer {
    address: String,
    weight: u32,
    tags: Vec<String>,
    running: u32,
    latency: Duration,
}

/// A server at this address, of weight 1, with nothing running.
pub fn server(address: &str) -> SentServer {
    SentServer { address: address.to_owned(), weight: 1, tags: Vec::new(), running: 0, latency: Duration::ZERO }
}

impl SentServer {
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Sets how much runs on it.
    #[must_use]
    pub fn running(self, running: u32) -> Self {
        Self { running, ..self }
    }

    /// Sets what it took lately.
    #[must_use]
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }
}

/// Shows servers; what was not asked for is empty, as in the proxy.
fn shown<T>(servers: &[SentServer], asked: u8, call: impl FnOnce(Candidates<'_>) -> T) -> T {
    let has = |bit| asked & bit != 0;
    let tags: Vec<Vec<Str<'_>>> = servers.iter().map(|server| server.tags.iter().map(|tag| Str::of(tag.as_bytes())).collect()).collect();
    let raw = servers.iter().zip(&tags).zip(0..).map(|((server, tags), number)| RawCandidate {
        number,
        address: Str::of(if has(BalanceInterest::ADDRESS) { server.address.as_bytes() } else { b"" }),
        weight: if has(BalanceInterest::WEIGHT) { server.weight } else { 0 },
        tags: Strings::of(if has(BalanceInterest::TAGS) { tags } else { &[] }),
        running: if has(BalanceInterest::LOAD) { server.running } else { 0 },
        latency: if has(BalanceInterest::LOAD) { u32::try_from(server.latency.as_micros()).unwrap_or(u32::MAX) } else { 0 },
    });
    call(Candidates { list: &raw.collect::<Vec<_>>(), asked })
}

fn fields<'s>(set: &'s [(String, String)], asked: &[Cow<'static, str>]) -> Vec<Field<'s>> {
    let asked = set.iter().filter(|(name, _)| asked.iter().any(|asked| asked == name));
    asked.map(|(name, value)| Field { name: Str::of(name.as_bytes()), value: Str::of(value.as_bytes()) }).collect()
}

/// What a phase set, checked as the proxy does.
fn set(fields: &[Field<'_>]) -> Vec<(String, String)> {
    assert!(fields.len() <= 64, "a fault: {} attributes, 64 are the most", fields.len());
    let checked = fields.iter().map(|field| {
        let (name, value) = (field.name(), field.text());
        let sound = !name.is_empty() && name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(sound, "a fault: {name:?} is not an attribute's name");
        assert!(!is_reserved(name), "a fault: the proxy sets the attribute {name:?} itself");
        (name.to_owned(), value.to_owned())
    });
    checked.collect()
}

fn last<'s>(set: &'s [(String, String)], name: &str) -> Option<&'s str> {
    set.iter().rev().find(|(own, _)| own == name).map(|(_, value)| &**value)
}

/// A request in need of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentChoice {
    exchange: u64,
    upstream: String,
    failed: u32,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    attributes: Vec<(String, String)>,
    servers: Vec<SentServer>,
}

/// `GET /`, to this upstream, which has no servers yet.
pub fn choice(upstream: &str) -> SentChoice {
    SentChoice {
        exchange: 1,
        upstream: upstream.to_owned(),
        failed: 0,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        attributes: Vec::new(),
        servers: Vec::new(),
    }
}

impl SentChoice {
    /// Adds a server to choose from.
    #[must_use]
    pub fn server(mut self, server: SentServer) -> Self {
        self.servers.push(server);
        self
    }

    /// Sets how many servers have failed the request.
    #[must_use]
    pub fn failed(self, failed: u32) -> Self {
        Self { failed, ..self }
    }

    #[must_use]
    pub fn method(self, method: &str) -> Self {
        Self { method: method.to_owned(), ..self }
    }

    #[must_use]
    pub fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Adds a header field of the request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sets an attribute, such as `client.ip`, or one of a link before.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the number that ties the phases of an exchange together.
    #[must_use]
    pub fn exchange(self, exchange: u64) -> Self {
        Self { exchange, ..self }
    }
}

/// Whom a plugin chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceOutcome {
    chosen: Option<String>,
    set: Vec<(String, String)>,
}

impl BalanceOutcome {
    /// The address of the server; `None`: the choice is left to others.
    pub fn chosen(&self) -> Option<&str> {
        self.chosen.as_deref()
    }

    /// An attribute that the plugin set.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        last(&self.set, name)
    }
}

impl<P: OnBalance> Harness<P> {
    /// Has the plugin choose a server. Not called, like in the proxy, if its plan says so, or if there is but one server.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_balance(&self, sent: SentChoice) -> BalanceOutcome {
        let untouched = BalanceOutcome { chosen: None, set: Vec::new() };
        let Some(interest) = self.plan.balance.as_ref().filter(|_| sent.servers.len() > 1) else { return untouched };
        let has = |bit| interest.fields & bit != 0;
        let arena = Arena::new();
        let mut edits = UpstreamEdits::new(&arena);
        let (headers, attributes) = (fields(&sent.headers, &interest.asked.headers), fields(&sent.attributes, &interest.asked.attributes));
        let verdict = shown(&sent.servers, interest.fields, |candidates| {
            let choice = Choice {
                exchange: if interest.asked.exchange { sent.exchange } else { 0 },
                upstream: if has(BalanceInterest::UPSTREAM) { &sent.upstream } else { "" },
                failed: sent.failed,
                method: if has(BalanceInterest::METHOD) { &sent.method } else { "" },
                path: if has(BalanceInterest::PATH) { &sent.path } else { "" },
                candidates,
                fields: Fields { headers: &headers, attributes: &attributes, asked: &interest.asked },
                asked: interest.fields,
            };
            self.plugin.on_balance(&choice, &mut edits)
        });
        let lowered = lower::balance_decision(verdict, edits.list.finish());
        let chosen = match lowered.verdict {
            RawBalanceVerdict::Next => None,
            RawBalanceVerdict::Choose(place) => Some(at(&sent.servers, place)),
        };
        BalanceOutcome { chosen, set: set(lowered.attributes.items()) }
    }
}

fn at(servers: &[SentServer], place: u32) -> String {
    let server = servers.get(place as usize);
    server.unwrap_or_else(|| panic!("a fault: there is no candidate {place} of {}", servers.len())).address.clone()
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAttempt {
    exchange: u64,
    server: String,
    attempt: u32,
    reason: String,
    status: Option<u16>,
    sent: bool,
    left: u32,
    attributes: Vec<(String, String)>,
    servers: Vec<SentServer>,
}

/// The first attempt, at this server, which failed for this reason before anything was sent; one more may follow.
pub fn failed_attempt(server: &str, reason: &str) -> SentAttempt {
    SentAttempt {
        exchange: 1,
        server: server.to_owned(),
        attempt: 1,
        reason: reason.to_owned(),
        status: None,
        sent: false,
        left: 1,
        attributes: Vec::new(),
        servers: Vec::new(),
    }
}

/// The first attempt, at this server, which answered with this status; one more may follow.
pub fn failed_status(server: &str, status: u16) -> SentAttempt {
    SentAttempt { status: Some(status), sent: true, ..failed_attempt(server, "status") }
}

impl SentAttempt {
    /// Sets how many attempts were made, and how many may follow.
    #[must_use]
    pub fn attempt(self, attempt: u32, left: u32) -> Self {
        Self { attempt, left, ..self }
    }

    /// The server may have seen some of the request.
    #[must_use]
    pub fn sent(self) -> Self {
        Self { sent: true, ..self }
    }

    /// Adds a server that the next attempt could go to.
    #[must_use]
    pub fn server(mut self, server: SentServer) -> Self {
        self.servers.push(server);
        self
    }

    /// Sets an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What follows an attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// What the configuration says.
    Next,
    Stop,
    /// On a server chosen as at first.
    Again,
    /// On the server at this address.
    AgainOn(String),
}

/// What a plugin said of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutcome {
    after: After,
    set: Vec<(String, String)>,
}

impl AttemptOutcome {
    pub fn after(&self) -> &After {
        &self.after
    }

    /// An attribute that the plugin set.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        last(&self.set, name)
    }
}

impl<P: OnAttempt> Harness<P> {
    /// Asks the plugin about an attempt. Not called, like in the proxy, if its plan says so, or does not ask for the status.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_attempt(&self, sent: SentAttempt) -> AttemptOutcome {
        let untouched = AttemptOutcome { after: After::Next, set: Vec::new() };
        let Some(interest) = &self.plan.attempt else { return untouched };
        if sent.status.is_some_and(|status| !interest.statuses.contains(&status)) {
            return untouched;
        }
        let has = |bit| interest.fields & bit != 0;
        let arena = Arena::new();
        let mut edits = UpstreamEdits::new(&arena);
        let attributes = fields(&sent.attributes, &interest.attributes);
        let (servers, all) = if has(AttemptInterest::CANDIDATES) { (&*sent.servers, u8::MAX) } else { (&[][..], 0) };
        let verdict = shown(servers, all, |candidates| {
            let failed = FailedAttempt {
                exchange: if has(AttemptInterest::EXCHANGE) { sent.exchange } else { 0 },
                server: if has(AttemptInterest::SERVER) { &sent.server } else { "" },
                attempt: sent.attempt,
                reason: if has(AttemptInterest::REASON) { &sent.reason } else { "" },
                status: sent.status,
                sent: sent.sent,
                left: sent.left,
                attributes: Attributes { list: &attributes, asked: &interest.attributes },
                candidates,
                asked: interest.fields,
            };
            self.plugin.on_attempt(&failed, &mut edits)
        });
        let lowered = lower::attempt_decision(verdict, edits.list.finish());
        let after = match lowered.verdict {
            RawAttemptVerdict::Next => After::Next,
            RawAttemptVerdict::Stop => After::Stop,
            RawAttemptVerdict::Again => After::Again,
            RawAttemptVerdict::AgainOn(place) => After::AgainOn(at(servers, place)),
        };
        AttemptOutcome { after, set: set(lowered.attributes.items()) }
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEnd {
    exchange: u64,
    upstream: String,
    server: String,
    attempts: u32,
    status: Option<u16>,
    reason: String,
    duration: Duration,
    first_byte: Duration,
    received: u64,
    sent: u64,
    attributes: Vec<(String, String)>,
}

/// An answer of this status, in order, with nothing else known of it.
pub fn answered(status: u16) -> SentEnd {
    SentEnd {
        exchange: 1,
        upstream: String::new(),
        server: String::new(),
        attempts: 0,
        status: Some(status),
        reason: String::new(),
        duration: Duration::ZERO,
        first_byte: Duration::ZERO,
        received: 0,
        sent: 0,
        attributes: Vec::new(),
    }
}

/// An exchange that ended for this reason without an answer.
pub fn unanswered(reason: &str) -> SentEnd {
    SentEnd { status: None, reason: reason.to_owned(), ..answered(200) }
}

impl SentEnd {
    /// Sets who answered, after so many attempts.
    #[must_use]
    pub fn by(self, upstream: &str, server: &str, attempts: u32) -> Self {
        Self { upstream: upstream.to_owned(), server: server.to_owned(), attempts, ..self }
    }

    /// Sets how long it took, as a whole and to the origin's response head.
    #[must_use]
    pub fn took(self, duration: Duration, first_byte: Duration) -> Self {
        Self { duration, first_byte, ..self }
    }

    /// Sets the bytes of both bodies.
    #[must_use]
    pub fn bytes(self, received: u64, sent: u64) -> Self {
        Self { received, sent, ..self }
    }

    /// Sets the number that ties the phases of an exchange together.
    #[must_use]
    pub fn exchange(self, exchange: u64) -> Self {
        Self { exchange, ..self }
    }

    /// Sets an attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl<P: OnDone> Harness<P> {
    /// Tells the plugin of an exchange's end. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the plugin reads what it did not ask for.
    pub fn on_done(&self, sent: &SentEnd) {
        let Some(interest) = &self.plan.done else { return };
        let has = |bit| interest.fields & bit != 0;
        let attributes = fields(&sent.attributes, &interest.attributes);
        let micros = |time: Duration| if has(DoneInterest::TIMES) { u64::try_from(time.as_micros()).unwrap_or(u64::MAX) } else { 0 };
        let bytes = |bytes| if has(DoneInterest::BYTES) { bytes } else { 0 };
        self.plugin.on_done(&Done {
            exchange: if has(DoneInterest::EXCHANGE) { sent.exchange } else { 0 },
            upstream: if has(DoneInterest::UPSTREAM) { &sent.upstream } else { "" },
            server: if has(DoneInterest::SERVER) { &sent.server } else { "" },
            attempts: sent.attempts,
            status: sent.status,
            reason: if has(DoneInterest::REASON) { &sent.reason } else { "" },
            duration: micros(sent.duration),
            first_byte: micros(sent.first_byte),
            received: bytes(sent.received),
            sent: bytes(sent.sent),
            attributes: Attributes { list: &attributes, asked: &interest.attributes },
            asked: interest.fields,
        });
    }
}

impl<P: OnTick> Harness<P> {
    /// Lets time pass for the plugin, as worker 0 of 1. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If its interval would refuse the settings.
    pub fn on_tick(&self, number: u64) {
        self.on_tick_of(number, 0, 1);
    }

    /// The same, as one worker of several.
    ///
    /// # Panics
    /// If its interval would refuse the settings.
    pub fn on_tick_of(&self, number: u64, worker: u32, workers: u32) {
        let Some(every) = self.plan.tick else { return };
        let most = Duration::from_secs(86_400);
        assert!(every >= Duration::from_millis(100) && every <= most, "ticks every {every:?}; 100 ms to a day can be asked for");
        self.plugin.on_tick(&Tick { number, worker, workers, call: PhantomData });
    }
}
