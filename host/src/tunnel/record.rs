//! What is known of a tunnel while it lives: whatever way it ends, its access line is written, once.

use super::Arrival;
use super::flow::Means;
use crate::config::{AccessLog, AccessRules};
use crate::message::{Attributes, ClientIdentity, ExchangeId, Traffic};
use crate::observe::access::AccessWriter;
use crate::observe::{RateCap, TunnelEntry, WorkerTally};
use crate::upstream::{Attempt, SendError};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one worker keeps of its tunnels.
pub struct Ledger {
    mode: Cell<AccessLog>,
    access: AccessWriter,
    /// Tunnels whose record lives.
    active: Cell<usize>,
    /// `None`: nobody collects numbers.
    tally: Option<Arc<WorkerTally>>,
    worker: u64,
    next: Cell<u64>,
    failures: RefCell<RateCap>,
    pub(super) means: Means,
}

impl Ledger {
    /// `worker` is its number in the process.
    pub fn new(worker: u16, mode: AccessLog, access: AccessWriter, tally: Option<Arc<WorkerTally>>) -> Rc<Self> {
        Rc::new(Self {
            mode: mode.into(),
            access,
            active: Cell::new(0),
            tally,
            worker: u64::from(worker) << 48,
            next: Cell::new(RandomState::new().build_hasher().finish()),
            // Arbitrary: enough to see what is going on, too little to fill a disk within a day.
            failures: RefCell::new(RateCap::new(20, Duration::from_millis(500))),
            means: Means::default(),
        })
    }

    /// How lines are written from now on.
    pub fn write_as(&self, mode: AccessLog, rules: &Arc<AccessRules>) {
        self.mode.set(mode);
        self.access.turn(rules);
    }

    /// Tunnels that are not over.
    pub fn active(&self) -> usize {
        self.active.get()
    }

    /// As those of exchanges are made: the worker in the top 16 bits, below a counter that starts anywhere.
    fn id(&self) -> ExchangeId {
        const COUNTER: u64 = (1 << 48) - 1;
        ExchangeId(self.worker | self.next.replace(self.next.get().wrapping_add(1)) & COUNTER)
    }

    fn failure(&self, id: ExchangeId, reason: &str, error: &SendError) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.warn(id, &format_args!("{reason}: {error}{cause}"));
    }

    fn warn(&self, id: ExchangeId, what: &fmt::Arguments<'_>) {
        if let Some(silent) = self.failures.borrow_mut().admit(Instant::now()) {
            let more = if silent > 0 { format!(" ({silent} more were not logged)") } else { String::new() };
            tracing::warn!(id = format_args!("{:016x}", id.0), "{what}{more}");
        }
    }
}

/// How much was carried, as the relay counts it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// From the client.
    pub received: Cell<u64>,
    /// To the client.
    pub sent: Cell<u64>,
}

/// Why a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both sides said that they were done.
    Both,
    Idle,
    ClientGone,
    OriginGone,
    /// The client began with a PROXY header, which others may and it may not.
    Unlisted,
}

/// Writes the tunnel's access line when it is dropped.
pub(super) struct Record {
    ledger: Rc<Ledger>,
    id: ExchangeId,
    started: Instant,
    peer: SocketAddr,
    local: SocketAddr,
    sni: Option<Arc<str>>,
    client: Option<Rc<ClientIdentity>>,
    attributes: Attributes,
    traffic: Option<Rc<Traffic>>,
    /// Dropped before anything else is known: the proxy stopped.
    reason: Option<&'static str>,
    upstream: Option<Rc<str>>,
    attempt: Option<Attempt>,
    counts: Rc<Counts>,
}

impl Record {
    pub fn open(ledger: &Rc<Ledger>, arrival: &Arrival) -> Self {
        ledger.active.set(ledger.active.get() + 1);
        ledger.tally.iter().for_each(|tally| tally.tunnels.add(1));
        Self {
            ledger: ledger.clone(),
            id: ledger.id(),
            started: Instant::now(),
            peer: arrival.connection.peer,
            local: arrival.connection.local,
            attributes: arrival.connection.attributes.clone(),
            traffic: arrival.traffic.clone(),
            sni: arrival.hello.as_ref().and_then(|hello| hello.sni.clone()),
            client: arrival.connection.tls.as_ref().and_then(|tls| tls.client.as_ref()?.identity.clone()),
            reason: Some("stopped"),
            upstream: None,
            attempt: None,
            counts: Rc::default(),
        }
    }

    pub fn counts(&self) -> Rc<Counts> {
        self.counts.clone()
    }

    pub fn refused(mut self, reason: &'static str) {
        debug_assert!(super::reasons::is_listed(reason), "{reason} is not in the table");
        self.reason = Some(reason);
    }

    pub fn forwarded(&mut self, upstream: Option<&Rc<str>>) {
        self.upstream = upstream.cloned();
    }

    pub fn connected(&mut self, attempt: &Attempt) {
        self.attempt = Some(attempt.clone());
    }

    pub fn failed(&mut self, error: &SendError, attempt: &Attempt) {
        let reason = match error {
            SendError::ConnectTimeout | SendError::Expired => "connect_timeout",
            SendError::Overloaded(_) => "overload",
            SendError::Busy => "upstream_busy",
            SendError::Drained => "upstream_drained",
            SendError::Connect(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => "connect_refused",
            _ => "connect_failed",
        };
        self.ledger.failure(self.id, reason, error);
        self.reason = Some(reason);
        self.attempt = Some(attempt.clone());
    }

    pub fn ended(&mut self, how: Ended) {
        self.reason = match how {
            Ended::Both => None,
            Ended::Idle => Some("idle"),
            Ended::ClientGone => Some("client_gone"),
            Ended::OriginGone => Some("origin_gone"),
            Ended::Unlisted => {
                self.ledger.warn(self.id, &format_args!("unlisted_proxy_header: {} is not listed in `proxy-protocol`", self.peer.ip()));
                Some("unlisted_proxy_header")
            }
        };
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.ledger.active.set(self.ledger.active.get() - 1);
        if let Some(tally) = &self.ledger.tally {
            tally.tunnels.sub(1);
            tally.carried[0].add(self.counts.received.get());
            tally.carried[1].add(self.counts.sent.get());
            self.reason.iter().for_each(|reason| tally.because("tunnel", reason));
        }
        let attempt = self.attempt.as_ref();
        let entry = TunnelEntry {
            id: self.id,
            client: self.peer.ip().to_canonical(),
            listener: self.local,
            sni: self.sni.as_deref(),
            client_cert: self.client.as_deref().map(|client| &*client.subject),
            reason: self.reason,
            upstream: self.upstream.as_deref(),
            server: attempt.and_then(|attempt| attempt.server.as_deref()),
            total: self.started.elapsed(),
            connect: attempt.map(|attempt| attempt.connect),
            received: self.counts.received.get(),
            sent: self.counts.sent.get(),
            attributes: &self.attributes,
        };
        if let Some(traffic) = &self.traffic {
            traffic.received.set(entry.received);
            traffic.sent.set(entry.sent);
        }
        self.ledger.access.write(self.ledger.mode.get(), &entry);
    }
}
