//! An exchange's guard: whatever way the exchange ends, the guard counts it out and writes its access line, once.

use super::current::Place;
use super::dice::Dice;
use super::failure::{self, Failure};
use super::farewell::Tell;
use super::grpc;
use super::ids::Hex;
use super::inbound::Inbound;
use super::mirror::{Mirrored, Mirrors};
use super::record::{Asked, Record};
use crate::chain::{Acted, Failing, Fault, Link, Way};
use crate::config::{AccessLog, AccessRules};
use crate::message::trace::Standing;
use crate::message::{Answer, BodyError, Connection, Exchange, ExchangeId, Reply, RequestHead};
use crate::observe::access::AccessWriter;
use crate::observe::{RateCap, Traced, Tracer, WorkerTally, pass_on};
use crate::upstream::{Attempt, SendError};
use bytes::Bytes;
use bytestring::ByteString;
use http::StatusCode;
use http_body::Frame;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one worker keeps of its exchanges.
pub(super) struct Ledger {
    /// Exchanges whose guard lives.
    pub active: Cell<usize>,
    access: AccessWriter,
    /// `None`: nobody collects numbers.
    tally: Option<Arc<WorkerTally>>,
    /// Copies of requests that are on their way.
    pub mirrors: Mirrors,
    pub dice: Dice,
    /// For what guests can cause at will, and for what origins can: neither must drown the other.
    faults: RefCell<RateCap>,
    failures: RefCell<RateCap>,
}

impl Ledger {
    pub fn new(access: AccessWriter, tally: Option<Arc<WorkerTally>>) -> Rc<Self> {
        // Arbitrary: enough to see what is going on, too little to fill a disk within a day.
        let cap = || RefCell::new(RateCap::new(20, Duration::from_millis(500)));
        Rc::new(Self {
            active: Cell::new(0),
            access,
            tally,
            mirrors: Mirrors::default(),
            dice: Dice::default(),
            faults: cap(),
            failures: cap(),
        })
    }

    /// What holds for access lines from now on.
    pub fn turn(&self, rules: &Arc<AccessRules>) {
        self.access.turn(rules);
    }

    /// `by`: one more exchange runs, or one fewer.
    fn runs(&self, active: usize) {
        self.active.set(active);
        self.tally.iter().for_each(|tally| tally.exchanges.set(active as u64));
    }

    /// What came of a copy of a request.
    pub fn mirrored(&self, upstream: &str, result: &'static str) {
        self.tally.iter().for_each(|tally| tally.mirrored(upstream, result));
    }

    pub fn fault(&self, id: ExchangeId, link: &Link, fault: &Fault) {
        let goes = if fault.open { "goes on" } else { "ends" };
        let (name, reason) = (&link.spec.name, fault.cause.reason());
        warn(&self.faults, id, || {
            format!("link {name} broke its contract ({reason}): {}; the exchange {goes}{}", fault.detail, fault.report)
        });
    }

    /// A link set an attribute that the proxy does not understand.
    pub fn unreadable(&self, id: ExchangeId, name: &str, value: &str) {
        warn(&self.faults, id, || format!("attribute {name} is no duration: {value:?}"));
    }

    /// Of the origin's or our doing: a warning. Of the client's: for who looks for it.
    pub fn failure(&self, id: ExchangeId, failure: &Failure) {
        match failure {
            Failure::Send(SendError::Client(_)) => tracing::debug!(id = %Hex(id), "{}: {failure}", failure.token()),
            Failure::Send(error) => warn(&self.failures, id, || format!("{}: {}", failure.token(), with_sources(error))),
            Failure::NoDestination => warn(&self.failures, id, || failure.to_string()),
            other => tracing::debug!(id = %Hex(id), "{}: {other}", other.token()),
        }
    }
}

fn warn(cap: &RefCell<RateCap>, id: ExchangeId, text: impl FnOnce() -> String) {
    if let Some(silent) = cap.borrow_mut().admit(Instant::now()) {
        let more = if silent > 0 { format!(" ({silent} more were not logged)") } else { String::new() };
        tracing::warn!(id = %Hex(id), "{}{more}", text());
    }
}

/// An error and what led to it.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// What links may know.
pub(super) fn open(id: ExchangeId, connection: Rc<Connection>, inbound: &Inbound, place: &Place<'_>) -> Exchange {
    Exchange {
        id,
        attributes: connection.attributes.clone(),
        trace: None,
        connection,
        client: inbound.client,
        client_port: inbound.client_port,
        version: inbound.version,
        site: place.site.clone(),
        route: place.route.clone(),
        upstream: None,
    }
}

/// Lives from the request's head to the end of the response's body, or of what came instead.
pub(super) struct Guard {
    pub id: ExchangeId,
    ledger: Rc<Ledger>,
    /// `None`: the access log is off, nobody collects numbers or traces or wants to be told, so nothing is counted or timed.
    record: Option<Box<Record>>,
    traced: Option<Box<Traced>>,
    /// The request is a call of gRPC, and so is the answer to be.
    pub grpc: bool,
    /// Why the exchange does not go as it should.
    pub reason: Option<&'static str>,
}

impl Guard {
    /// `traces`: whether the exchange may be traced.
    pub fn open(ledger: &Rc<Ledger>, id: ExchangeId, (mode, traces): (AccessLog, bool), connection: &Rc<Connection>) -> Self {
        ledger.runs(ledger.active.get() + 1);
        let record = (mode != AccessLog::Off || ledger.tally.is_some() || traces).then(|| Box::new(Record::new(mode, connection)));
        Self { id, ledger: Rc::clone(ledger), record, traced: None, grpc: false, reason: None }
    }

    pub fn asked(&mut self, inbound: &Inbound) {
        self.grpc = grpc::is_call(&inbound.head, inbound.version);
        if let Some(record) = &mut self.record {
            let RequestHead { method, scheme, authority, path, query, headers: _ } = &inbound.head;
            let head = RequestHead {
                method: method.clone(),
                scheme: *scheme,
                authority: authority.clone(),
                path: path.clone(),
                query: query.clone(),
                headers: http::HeaderMap::new(),
            };
            record.client = inbound.client;
            record.asked = Some(Asked { head, version: inbound.version });
        }
    }

    /// Which trace the request belongs to. `trusted`: whether its peer may choose what is traced.
    pub fn trace(&mut self, tracer: &Rc<Tracer>, inbound: &Inbound, trusted: bool) -> Standing {
        let (standing, traced) = tracer.begin(&inbound.head.headers, trusted);
        self.traced = traced;
        standing
    }

    /// The request goes out with its place in the trace.
    pub fn sends(&mut self, upstream: &str, standing: Option<&Standing>, headers: &mut http::HeaderMap) {
        match (&mut self.traced, standing) {
            (Some(traced), _) => traced.sends(upstream, headers),
            (None, Some(standing)) => pass_on(standing, headers),
            (None, None) => {}
        }
    }

    /// What came of it.
    pub fn answered_by(&mut self, attempt: &Attempt, answer: Result<StatusCode, &SendError>) {
        self.attempted(attempt);
        if let Some(traced) = &mut self.traced {
            let status = answer.ok().map(|status| status.as_u16());
            traced.answered((attempt.server.as_deref(), attempt.spoken), attempt.attempts, status, answer.err().map(SendError::reason));
        }
    }

    /// Links want to be told of the end.
    pub fn tells(&mut self, farewell: Box<dyn Tell>, inbound: &Inbound) {
        if self.record.is_none() {
            let connection = Rc::clone(farewell.connection());
            self.record = Some(Box::new(Record::new(AccessLog::Off, &connection)));
            self.asked(inbound);
        }
        if let Some(record) = &mut self.record {
            record.farewell = Some(farewell);
            record.trail = Some(Rc::default());
        }
    }

    pub fn trail(&self) -> Option<Rc<RefCell<Attempt>>> {
        self.record.as_ref().and_then(|record| record.trail.clone())
    }

    pub fn placed(&mut self, place: &Place<'_>) {
        if let Some(record) = &mut self.record {
            (record.site, record.route) = (place.site.clone(), place.route.clone());
            record.tally = self.ledger.tally.as_deref().map(|worker| Arc::clone(place.tally(worker)));
        }
    }

    /// After either walk; what counts is the last.
    pub fn walked(&mut self, exchange: &Exchange, acted: &[Acted], place: &Place<'_>) {
        let Some(record) = &mut self.record else { return };
        if let Some(farewell) = &mut record.farewell {
            farewell.update(exchange);
        }
        if record.mode != AccessLog::Off {
            record.attributes.clone_from(&exchange.attributes);
            let spec = |acted: &Acted| place.terms.chain.links.get(acted.link).map(|link| (Arc::clone(&link.spec), acted.how));
            record.links = acted.iter().filter_map(spec).collect();
        }
    }

    /// Whether what goes through must be told to [`Self::sent`].
    pub fn is_recording(&self) -> bool {
        self.record.is_some()
    }

    /// The counter for the request's body, if anybody wants to know.
    pub fn received(&self) -> Option<Rc<Cell<u64>>> {
        self.record.as_ref().map(|record| Rc::clone(&record.received))
    }

    pub fn forwarded(&mut self, upstream: &ByteString) {
        if let Some(record) = &mut self.record {
            record.upstream = Some(upstream.clone());
        }
    }

    /// What goes wrong on purpose.
    pub fn injects(&mut self, delay: bool, abort: bool) {
        if let Some(record) = &mut self.record {
            record.injected = match (delay, abort) {
                (false, false) => None,
                (true, false) => Some("delay"),
                (false, true) => Some("abort"),
                (true, true) => Some("delay,abort"),
            };
        }
    }

    /// A copy of the request is made.
    pub fn mirrors(&mut self, mirrored: &Rc<Mirrored>) {
        if let Some(record) = &mut self.record {
            record.mirror = Some(Rc::clone(mirrored));
        }
    }

    fn attempted(&mut self, attempt: &Attempt) {
        if let Some(record) = &mut self.record {
            record.attempt = Some(attempt.clone());
        }
    }

    /// A link faulted in the response phase and its policy is `closed`: the answer that takes the response's place.
    /// Or its body could not be had as a whole.
    pub fn failed_by(&mut self, failing: Failing) -> Reply {
        match failing {
            Failing::Fault(fault) => {
                self.because(fault.cause.reason());
                failure::instead(fault.cause.reason(), self.id)
            }
            Failing::Ungathered(why) => {
                let failure = Failure::ungathered(why, Way::Response);
                self.failed(&failure);
                failure::instead(failure.token(), self.id)
            }
        }
    }

    /// A link wants no answer to be given.
    pub fn abort<B>(mut self) -> Answer<B> {
        self.because("plugin_abort");
        Answer::Abort
    }

    pub fn failed(&mut self, failure: &Failure) {
        self.ledger.failure(self.id, failure);
        self.because(failure.token());
    }

    pub fn because(&mut self, reason: &'static str) {
        self.reason = Some(reason);
        if let Some(record) = &mut self.record {
            record.reason = Some(reason);
        }
    }

    /// The response begins; `length` of its body, if known.
    pub fn answered(&mut self, status: StatusCode, length: Option<u64>) {
        if let Some(record) = &mut self.record {
            record.status = Some(status);
            record.length = length;
            let head = record.asked.as_ref().is_some_and(|asked| asked.head.method == http::Method::HEAD);
            record.ended = head || length == Some(0) || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        }
    }

    /// A piece of the response's body, or its end.
    pub fn sent(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(record) = &mut self.record else { return };
        match frame {
            None => record.ended = true,
            Some(Ok(frame)) => {
                record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                record.ended |= frame.is_trailers() || record.length == Some(record.sent);
            }
            Some(Err(error)) => record.reason = Some(error.reason()),
        }
    }

    /// What an upgraded connection carried, and how it ended.
    pub fn spliced(&mut self, received: u64, sent: u64, ended: bool) {
        if let Some(record) = &mut self.record {
            (record.sent, record.ended) = (sent, ended);
            record.received.set(received);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ledger.runs(self.ledger.active.get() - 1);
        if let Some(record) = &mut self.record {
            if let (None, Some(trail)) = (&record.attempt, &record.trail) {
                record.attempt = Some(trail.borrow().clone()).filter(|attempt| attempt.attempts > 0);
            }
            self.ledger.tally.iter().for_each(|tally| record.count(tally));
            if let Some(traced) = self.traced.take() {
                let (name, attributes) = record.told();
                traced.end(name, attributes, record.status.is_none_or(|status| status.is_server_error()));
            }
            record.write(self.id, &self.ledger.access);
            if let Some(farewell) = &record.farewell {
                farewell.tell(&record.done(), &self.ledger);
            }
        }
    }
}
