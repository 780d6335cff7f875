//! Upstreams and their servers as one worker knows them: who is busy with how much. How one is chosen stands in `balance`, and in
//! `shares` where servers are not all alike: of several `levels`, or new.

mod adaptive;
mod balance;
mod latency;
mod levels;
mod limit;
mod shares;
mod ticket;
mod why;

use super::drains::Drained;
use super::h2::{self, Connections};
use super::hash;
use super::health::Checked;
use super::pool::Pool;
use super::seats::{Hall, Row};
use super::standing::{Ejection, Standing};
use super::sticky::{Seal, Sticky};
use super::{Attempt, Inside, Insides, SendError};
use crate::certs::ServerTls;
use crate::config::{Balance, Limits, Placeless, Protocol, ProxyVersion, ServerAddress, UpstreamServer, UpstreamSpec};
use crate::message::Candidate;
use crate::observe::{Gauge, UpstreamTally};
use smallvec::SmallVec;
use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

pub(super) use balance::Wish;
use latency::Latency;
use levels::Levels;
use limit::{Limit, Load};
pub(super) use limit::{Patience, Place};
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
    /// Those that an operator has taken out.
    drained: Arc<Drained>,
    /// Who waits for connections, those of other workers included.
    hall: Arc<Hall>,
    /// Whose requests wait there.
    home: Arc<()>,
    /// `None`: as many requests at once as come.
    limit: Option<Limit>,
    /// `None`: clients do not stay with servers.
    sticky: Option<Sticky>,
    /// `None`: all servers come first.
    levels: Option<Levels>,
    /// For how long a server that is new, or came back, has less than its share. `None`: for no time.
    slow_start: Option<Duration>,
    tally: Arc<UpstreamTally>,
}

/// One server of an upstream.
pub(super) struct Server {
    pub address: ServerAddress,
    /// Its other address, if it has one of either family.
    pub also: Option<IpAddr>,
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
    /// Records may say otherwise from one minute to the next, which is no reason to begin anew with it.
    weight: Cell<u32>,
    tags: Box<[String]>,
    /// What its address comes to, for consistent hashing.
    seed: u64,
    /// When it came, if others were there before.
    since: Option<Instant>,
    running: Cell<u32>,
    /// The same, for whoever wants to see it.
    shown: Arc<Gauge>,
    /// Whether an operator has taken it out.
    drained: Arc<AtomicBool>,
    /// Its connections, those of other workers included.
    pub row: Arc<Row>,
    /// Weighted round robin: how far behind its share it is.
    credit: Cell<i64>,
    standing: Standing,
    latency: Cell<Latency>,
}

/// Who keeps servers from being used: checks, if there are any, operators, and those who have their connections.
type Kept = (Option<Arc<Checked>>, Arc<Drained>, Arc<Hall>);

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
        (tally, (checked, drained, hall), (seal, workers)): (Arc<UpstreamTally>, Kept, (&Seal, u16)),
    ) -> Rc<Self> {
        let keep = spec.pool_idle.unwrap_or(limits.pool_idle);
        // Where all are new, none has to wait for the others.
        let now = earlier.filter(|earlier| !earlier.servers.is_empty()).map(|_| Instant::now());
        let known = |server: &UpstreamServer| earlier?.servers.iter().find(|known| known.address == server.address);
        let server = |(index, server): (usize, &UpstreamServer)| {
            let pool = Pool::new(keep, limits.pool_idle_time, limits.pool_age, &tally);
            let connections = Connections::new(h2::Settings::of(limits), (keep, limits.pool_idle_time, limits.pool_age), &tally);
            let tls = tls.as_ref().and_then(|tls| tls.get(index)).cloned();
            Server {
                address: server.address.clone(),
                also: server.also,
                label: server.address.to_string().into(),
                inside: OnceCell::new(),
                tls,
                proxy_protocol: spec.proxy_protocol,
                protocol: spec.protocol,
                pool,
                connections,
                weight: Cell::new(server.weight),
                tags: server.tags.clone().into(),
                seed: hash::seed(&server.address.to_string()),
                since: known(server).map_or(now, |known| known.since),
                running: Cell::new(0),
                shown: tally.servers.named(server.address.to_string().into(), Gauge::default),
                drained: drained.flag(&server.address.to_string()),
                row: hall.row(&server.address.to_string()),
                credit: Cell::new(0),
                standing: Standing::default(),
                latency: Cell::default(),
            }
        };
        let kept = |server: Server| {
            let stays = earlier.and_then(|earlier| earlier.servers.iter().find(|old| old.is_as(&server)));
            stays.inspect(|stays| stays.weight.set(server.weight.get())).cloned().unwrap_or(Rc::new(server))
        };
        let servers: Vec<_> = spec.servers.iter().enumerate().map(server).map(kept).collect();
        let load = earlier.map(|earlier| Rc::clone(&earlier.load)).unwrap_or_default();
        let new = Self::new(name, spec, (servers, load), limits, (tally, (checked, drained, hall), (seal, workers)));
        new.next.set(earlier.map_or(0, |earlier| earlier.next.get()));
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
        (tally, (checked, drained, hall), (seal, workers)): (Arc<UpstreamTally>, Kept, (&Seal, u16)),
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
            drained,
            hall,
            home: Arc::default(),
            limit: spec.limits.as_ref().map(|limits| Limit::new(limits, workers)),
            sticky: spec.sticky.as_ref().map(|sticky| Sticky::new(sticky, seal, name, &spec.servers)),
            levels: Levels::of(spec),
            slow_start: spec.slow_start,
            tally,
        }
    }

    /// Puts servers within this process in their places.
    pub fn place(&self, insides: &Insides<'_>) {
        for server in &self.servers {
            // Told twice, the first one stays.
            if let Some(inside) = insides(&server.address) {
                let _ = server.inside.set(inside);
            }
        }
    }

    /// Whether other servers may be found for it while it is used.
    pub fn is_found_by_name(&self) -> bool {
        // Who writes servers writes at least one.
        self.servers.is_empty() || self.spec.servers.iter().any(|server| server.found_by.is_some())
    }

    /// Closes connections that nobody needed lately.
    pub fn sweep(&self, now: Instant) {
        self.servers.iter().for_each(|server| server.sweep(now));
        self.shed();
    }

    pub const fn tally(&self) -> &Arc<UpstreamTally> {
        &self.tally
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

    /// Two servers were asked at once, and `answered` says whether it was the second who did; if so, the first had taken so long.
    pub fn hedged(&self, answered: bool, (first, took): (usize, Duration), now: Instant) {
        self.tally.hedges.one();
        if answered {
            self.tally.hedges_won.one();
            self.servers.get(first).iter().for_each(|server| server.heard(took, now));
        }
    }

    /// The place of the server that is called so.
    pub fn place_of(&self, label: &str) -> Option<usize> {
        self.servers.iter().position(|server| *server.label == *label)
    }

    /// Servers that the request may go to, in the order of the configuration; some at random where there are too many to be shown.
    pub fn eligible(&self, tried: &Tried, now: Instant) -> SmallVec<[usize; 16]> {
        let untried = || (0..self.servers.len()).filter(|index| !tried.contains(index) && !self.is_drained(*index));
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

    /// Whether an operator has taken it out.
    fn is_drained(&self, index: usize) -> bool {
        self.drained.any() && self.servers.get(index).is_some_and(|server| server.drained.load(Ordering::Relaxed))
    }

    /// Whether an operator has taken all of them out.
    pub fn is_all_drained(&self) -> bool {
        self.drained.any() && (0..self.servers.len()).all(|index| self.is_drained(index))
    }

    /// Whether it is taken out or set aside, or down by what checks have found.
    fn is_unwell(&self, index: usize, now: Instant) -> bool {
        if self.is_drained(index) {
            return true;
        }
        let aside = self.out.get() > 0 && self.servers.get(index).is_some_and(|server| server.standing.is_out(now));
        // Of several levels, whether others can bear the load is not a matter of how many are down.
        let down = |checked: &Arc<Checked>| if self.levels.is_some() { checked.is_found_down(index) } else { checked.is_down(index) };
        aside || self.checked.as_ref().is_some_and(down)
    }

    fn has_any_out(&self, now: Instant) -> bool {
        if self.out.get() > 0 {
            self.out.set(self.servers.iter().filter(|server| server.standing.is_out(now)).count());
        }
        self.out.get() > 0
    }

    /// A server failed a request by its own doing. It may be set aside, but never more than half of them at once; of several levels, never all.
    pub fn failed(&self, index: usize, now: Instant) {
        let Some(server) = self.servers.get(index) else { return };
        let may = || {
            self.has_any_out(now);
            if self.levels.is_some() { self.out.get() + 1 < self.servers.len() } else { (self.out.get() + 1) * 2 <= self.servers.len() }
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
        (0..self.servers.len()).any(|index| !tried.contains(&index) && !self.is_full(index) && !self.is_drained(index))
    }
}

impl Server {
    /// Whether it is the same and is spoken to in the same way.
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
            && (&self.address, self.also, &self.tags) == (&other.address, other.also, &other.tags)
            && (self.protocol, self.proxy_protocol) == (other.protocol, other.proxy_protocol)
            && self.pool.is_as(&other.pool)
            && self.connections.is_as(&other.connections)
    }

    fn as_candidate(&self, index: usize) -> Candidate<'_> {
        Candidate {
            number: u32::try_from(index).unwrap_or(u32::MAX),
            address: &self.label,
            weight: self.weight.get(),
            tags: &self.tags,
            running: self.running.get(),
            latency: self.latency.get().lately(),
        }
    }

    /// Whether nothing can be sent to it for lack of a connection, of which it may have so many.
    fn has_no_seat(&self, most: u32) -> bool {
        !self.row.has_free(most) && self.pool.is_empty() && !self.connections.has_room()
    }

    /// Comparable between servers of different weights.
    fn load(&self) -> u64 {
        (u64::from(self.running.get()) << 16) / u64::from(self.weight.get())
    }

    /// Whether an answer is to be expected sooner from it: by what waits there already, and what it took lately.
    fn is_better_than(&self, other: &Self, now: Instant) -> bool {
        self.is_better_for(self.weight.get().into(), (other, other.weight.get().into()), now)
    }

    /// The same with these shares in the place of weights.
    fn is_better_for(&self, share: u64, (other, others_share): (&Self, u64), now: Instant) -> bool {
        // Itself included, which counts for all the same: they are drawn by their shares already.
        let queue = |server: &Self, share: u64| server.running.get() as f32 / share.max(1) as f32 + 1.0;
        let slower = self.latency.get().over(other.latency.get(), now);
        queue(self, share) * slower < queue(other, others_share)
    }

    /// Closes connections that nobody needed lately.
    fn sweep(&self, now: Instant) {
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
