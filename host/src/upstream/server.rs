//! Upstreams and their servers as one worker knows them: who is busy with how much. How one is chosen stands in `balance`.

mod balance;
mod latency;
mod limit;
mod ticket;

use super::h2::{self, Connections};
use super::hash;
use super::health::Checked;
use super::pool::Pool;
use super::standing::{Ejection, Standing};
use super::sticky::{Seal, Sticky};
use super::{Attempt, Inside, SendError};
use crate::certs::ServerTls;
use crate::config::{Balance, Limits, Placeless, Protocol, ProxyVersion, ServerAddress, UpstreamServer, UpstreamSpec};
use crate::message::Candidate;
use crate::observe::UpstreamTally;
use smallvec::SmallVec;
use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) use balance::Wish;
use latency::Latency;
use limit::{Limit, Load};
pub(super) use ticket::{Retry, Ticket};

/// A named set of servers.
pub(super) struct Upstream {
    pub name: Rc<str>,
    pub servers: Vec<Rc<Server>>,
    /// Without places, to be compared with the next.
    spec: UpstreamSpec,
    balance: Balance,
    /// Sums of weights up to and with each server; `None`: all are equal.
    weights: Option<Box<[u32]>>,
    /// Round robin: where the next request goes.
    next: Cell<usize>,
    /// State of the generator behind p2c. Never zero.
    random: Cell<u64>,
    /// Goes on from snapshot to snapshot.
    load: Rc<Load>,
    ejection: Ejection,
    /// Servers that are set aside, or were until lately.
    out: Cell<usize>,
    /// `None`: nobody looks at them.
    checked: Option<Arc<Checked>>,
    /// `None`: as many requests at once as come.
    limit: Option<Limit>,
    /// `None`: clients do not stay with servers.
    sticky: Option<Sticky>,
    tally: Arc<UpstreamTally>,
}

/// One server of an upstream.
pub(super) struct Server {
    pub address: ServerAddress,
    /// The address as text, for logs.
    pub label: Rc<str>,
    /// For one that is a component.
    pub inside: OnceCell<Rc<dyn Inside>>,
    /// `None`: in the clear.
    pub tls: Option<ServerTls>,
    /// Connections begin with a header that names the client.
    pub proxy_protocol: Option<ProxyVersion>,
    pub protocol: Protocol,
    /// Idle connections over HTTP/1.1.
    pub pool: Pool,
    /// All those over HTTP/2.
    pub connections: Connections,
    weight: u32,
    tags: Box<[String]>,
    /// What its address comes to, for consistent hashing.
    seed: u64,
    running: Cell<u32>,
    /// Weighted round robin: how far behind its share it is.
    credit: Cell<i64>,
    standing: Standing,
    latency: Cell<Latency>,
}

/// Servers that a guide is shown at once.
const MOST_SHOWN: usize = 256;

/// Servers, by index, that already failed this request.
pub(super) type Tried = SmallVec<[usize; 2]>;

impl Upstream {
    /// The upstream of the next snapshot: the `earlier` one if nothing has changed, else a new one with those of its servers that have not.
    /// `tls`: beside the servers, if they are spoken to over TLS.
    pub fn after(
        earlier: Option<&Rc<Self>>,
        name: &str,
        (spec, tls): (&UpstreamSpec, Option<Vec<ServerTls>>),
        limits: &Limits,
        (tally, checked, (seal, workers)): (Arc<UpstreamTally>, Option<Arc<Checked>>, (&Seal, u16)),
    ) -> Rc<Self> {
        let keep = spec.pool_idle.unwrap_or(limits.pool_idle);
        let server = |(index, server): (usize, &UpstreamServer)| {
            let pool = Pool::new(keep, limits.pool_idle_time, limits.pool_age, &tally);
            let connections = Connections::new(h2::Settings::of(limits), (keep, limits.pool_idle_time, limits.pool_age), &tally);
            let tls = tls.as_ref().and_then(|tls| tls.get(index)).cloned();
            Server {
                address: server.address.clone(),
                label: server.address.to_string().into(),
                inside: OnceCell::new(),
                tls,
                proxy_protocol: spec.proxy_protocol,
                protocol: spec.protocol,
                pool,
                connections,
                weight: server.weight,
                tags: server.tags.clone().into(),
                seed: hash::seed(&server.address.to_string()),
                running: Cell::new(0),
                credit: Cell::new(0),
                standing: Standing::default(),
                latency: Cell::default(),
            }
        };
        let kept = |server: Server| {
            earlier.and_then(|earlier| earlier.servers.iter().find(|old| old.is_as(&server)).cloned()).unwrap_or(Rc::new(server))
        };
        let servers: Vec<_> = spec.servers.iter().enumerate().map(server).map(kept).collect();
        let load = earlier.map(|earlier| Rc::clone(&earlier.load)).unwrap_or_default();
        let new = Self::new(name, spec, (servers, load), limits, (tally, checked, (seal, workers)));
        match earlier {
            Some(earlier) if earlier.is_as(&new) => Rc::clone(earlier),
            _ => Rc::new(new),
        }
    }

    fn new(
        name: &str,
        spec: &UpstreamSpec,
        (servers, load): (Vec<Rc<Server>>, Rc<Load>),
        limits: &Limits,
        (tally, checked, (seal, workers)): (Arc<UpstreamTally>, Option<Arc<Checked>>, (&Seal, u16)),
    ) -> Self {
        let even = spec.servers.windows(2).all(|pair| matches!(pair, [one, other] if one.weight == other.weight));
        let sums = spec.servers.iter().scan(0u32, |sum, server| {
            *sum = sum.saturating_add(server.weight);
            Some(*sum)
        });
        // Those that an earlier snapshot has set aside.
        let now = Instant::now();
        let out = servers.iter().filter(|server| limits.eject_after > 0 && server.standing.is_out(now)).count();
        Self {
            name: name.into(),
            servers,
            spec: spec.placeless(),
            balance: spec.balance.clone(),
            weights: (!even).then(|| sums.collect()),
            next: Cell::new(0),
            random: Cell::new(RandomState::new().hash_one(name) | 1),
            load,
            ejection: Ejection { after: limits.eject_after, time: limits.eject_time },
            out: Cell::new(out),
            checked,
            limit: spec.limits.as_ref().map(|limits| Limit::new(limits, workers)),
            sticky: spec.sticky.as_ref().map(|sticky| Sticky::new(sticky, seal, name, &spec.servers)),
            tally,
        }
    }

    pub fn asked(&self) {
        self.tally.requests.one();
    }

    /// A request has its response head, or a tunnel its connection, or it failed.
    pub fn count(&self, attempt: &Attempt, error: Option<&SendError>) {
        let tally = &self.tally;
        tally.retries.add(attempt.attempts.saturating_sub(1).into());
        if attempt.reused {
            tally.reused.one();
        } else if attempt.attempts > 0 && !error.is_some_and(SendError::is_connect) {
            tally.connects.observe(attempt.connect);
        }
        match error {
            None if attempt.first_byte.is_zero() => {}
            None => tally.answers.observe(attempt.first_byte),
            // A link's doing, which is counted as such.
            Some(SendError::Halted) => {}
            Some(error) => tally.failures.named(error.reason(), Default::default).one(),
        }
    }

    /// Whether nothing is lost if it stays instead of `next`.
    fn is_as(&self, next: &Self) -> bool {
        let same = |(own, other): (&Rc<Server>, &Rc<Server>)| Rc::ptr_eq(own, other);
        let checked = match (&self.checked, &next.checked) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        };
        let servers = self.servers.len() == next.servers.len() && self.servers.iter().zip(&next.servers).all(same);
        servers && checked && self.ejection == next.ejection && self.spec == next.spec && self.sticky == next.sticky
    }

    /// Servers that the request may go to, in the order of the configuration; some at random where there are too many to be shown.
    pub fn eligible(&self, tried: &Tried, now: Instant) -> SmallVec<[usize; 16]> {
        let untried = || (0..self.servers.len()).filter(|index| !tried.contains(index));
        let mut eligible: SmallVec<[usize; 16]> = untried().filter(|index| !self.is_out(*index, now)).collect();
        if eligible.is_empty() {
            eligible.extend(untried().filter(|index| !self.is_full(*index)));
        }
        if eligible.is_empty() {
            eligible.extend(untried());
        }
        let count = eligible.len();
        if count > MOST_SHOWN {
            for place in 0..MOST_SHOWN {
                eligible.swap(place, place + self.random() as usize % (count - place));
            }
            eligible.truncate(MOST_SHOWN);
            eligible.sort_unstable();
        }
        eligible
    }

    /// Whether it may not have more to do, however well it is.
    fn is_full(&self, index: usize) -> bool {
        self.limit.as_ref().zip(self.servers.get(index)).is_some_and(|(limit, server)| limit.is_reached(server))
    }

    /// Whether it is to get nothing for now.
    fn is_out(&self, index: usize, now: Instant) -> bool {
        self.is_unwell(index, now) || self.is_full(index)
    }

    /// Whether it is set aside, or down by what checks have found.
    fn is_unwell(&self, index: usize, now: Instant) -> bool {
        let aside = self.out.get() > 0 && self.servers.get(index).is_some_and(|server| server.standing.is_out(now));
        aside || self.checked.as_ref().is_some_and(|checked| checked.is_down(index))
    }

    fn has_any_out(&self, now: Instant) -> bool {
        if self.out.get() > 0 {
            self.out.set(self.servers.iter().filter(|server| server.standing.is_out(now)).count());
        }
        self.out.get() > 0
    }

    /// A server failed a request by its own doing. It may be set aside, but never more than half of them at once.
    pub fn failed(&self, index: usize, now: Instant) {
        let Some(server) = self.servers.get(index) else { return };
        let may = || {
            self.has_any_out(now);
            (self.out.get() + 1) * 2 <= self.servers.len()
        };
        // Exchanges of an earlier snapshot may have set it aside meanwhile.
        if self.ejection.after > 0 && server.standing.is_out(now) {
            self.out.set(self.out.get().max(1));
        }
        if let Some(time) = server.standing.failed(self.ejection, now, may) {
            self.out.update(|count| count + 1);
            self.tally.ejections.one();
            tracing::warn!("upstream {}: server {} fails again and again, and gets nothing for {time:?}", self.name, server.label);
        }
    }

    /// These servers as a guide is shown them.
    pub fn candidates(&self, indices: &[usize]) -> SmallVec<[Candidate<'_>; 8]> {
        let shown = |index: &usize| self.servers.get(*index).map(|server| server.as_candidate(*index));
        indices.iter().filter_map(shown).collect()
    }

    /// Whether a server is left that has not failed this request.
    pub fn has_other(&self, tried: &Tried) -> bool {
        (0..self.servers.len()).any(|index| !tried.contains(&index) && !self.is_full(index))
    }
}

impl Server {
    /// Whether it is the same, counts for as much and is spoken to in the same way.
    fn is_as(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(own), Some(other)) => own.is(other),
            _ => false,
        };
        // A component's file may have changed; it is near, so that new connections to it cost little.
        let inside = matches!(self.address, ServerAddress::Component(_));
        !inside
            && tls
            && (&self.address, self.weight, &self.tags) == (&other.address, other.weight, &other.tags)
            && (self.protocol, self.proxy_protocol) == (other.protocol, other.proxy_protocol)
            && self.pool.is_as(&other.pool)
            && self.connections.is_as(&other.connections)
    }

    fn as_candidate(&self, index: usize) -> Candidate<'_> {
        Candidate {
            number: u32::try_from(index).unwrap_or(u32::MAX),
            address: &self.label,
            weight: self.weight,
            tags: &self.tags,
            running: self.running.get(),
            latency: self.latency.get().lately(),
        }
    }

    /// Comparable between servers of different weights.
    fn load(&self) -> u64 {
        (u64::from(self.running.get()) << 16) / u64::from(self.weight)
    }

    /// Whether an answer is to be expected sooner from it: by what waits there already, and what it took lately.
    fn is_better_than(&self, other: &Self, now: Instant) -> bool {
        // Itself included, which counts for all the same: they are drawn by weight already.
        let queue = |server: &Self| server.running.get() as f32 / server.weight as f32 + 1.0;
        let slower = self.latency.get().over(other.latency.get(), now);
        queue(self) * slower < queue(other)
    }

    /// Closes connections that nobody needed lately.
    pub fn sweep(&self, now: Instant) {
        self.pool.sweep(now);
        self.connections.sweep(now);
    }

    /// It took so long to a response head.
    fn heard(&self, took: Duration, now: Instant) {
        self.latency.update(|latency| latency.after(took, now));
    }
}

#[cfg(test)]
mod tests;
