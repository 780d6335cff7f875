//! Upstreams and their servers as one worker knows them: who is busy with how much, and how one is chosen.

use super::pool::Pool;
use super::{Attempt, Inside, SendError};
use crate::certs::ServerTls;
use crate::config::{Balance, Limits, ProxyVersion, ServerAddress, UpstreamSpec};
use crate::observe::UpstreamTally;
use smallvec::SmallVec;
use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

/// A named set of servers.
pub(super) struct Upstream {
    pub name: Rc<str>,
    pub servers: Vec<Rc<Server>>,
    balance: Balance,
    /// Round robin: where the next request goes.
    next: Cell<usize>,
    /// State of the generator behind p2c. Never zero.
    random: Cell<u64>,
    running: Cell<u32>,
    retrying: Cell<u32>,
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
    pub pool: Pool,
    running: Cell<u32>,
}

/// Servers, by index, that already failed this request.
pub(super) type Tried = SmallVec<[usize; 2]>;

impl Upstream {
    /// `tls`: beside the servers, if they are spoken to over TLS.
    pub fn new(name: &str, spec: &UpstreamSpec, tls: Option<&[ServerTls]>, limits: &Limits, tally: Arc<UpstreamTally>) -> Self {
        let keep = spec.pool_idle.unwrap_or(limits.pool_idle);
        let server = |(index, address): (usize, &ServerAddress)| {
            let pool = Pool::new(keep, limits.pool_idle_time, limits.pool_age, &tally);
            let tls = tls.and_then(|tls| tls.get(index)).cloned();
            Rc::new(Server {
                address: address.clone(),
                label: address.to_string().into(),
                inside: OnceCell::new(),
                tls,
                proxy_protocol: spec.proxy_protocol,
                pool,
                running: Cell::new(0),
            })
        };
        Self {
            name: name.into(),
            servers: spec.servers.iter().enumerate().map(server).collect(),
            balance: spec.balance,
            next: Cell::new(0),
            random: Cell::new(RandomState::new().hash_one(name) | 1),
            running: Cell::new(0),
            retrying: Cell::new(0),
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
        } else if !error.is_some_and(SendError::is_connect) {
            tally.connects.observe(attempt.connect);
        }
        match error {
            None if attempt.first_byte.is_zero() => {}
            None => tally.answers.observe(attempt.first_byte),
            Some(error) => tally.failures.named(error.reason(), Default::default).one(),
        }
    }

    /// Chooses a server that has not been tried, if there is one. `None`: the upstream has no servers.
    pub fn pick(&self, tried: &Tried) -> Option<usize> {
        match self.servers.len() {
            0 => None,
            1 => Some(0),
            count if tried.is_empty() => Some(match self.balance {
                Balance::RoundRobin => self.turn(count),
                Balance::P2c => self.quieter_of_two(count),
            }),
            count => {
                let first = self.turn(count);
                let others = (0..count).map(|offset| (first + offset) % count).filter(|index| !tried.contains(index));
                Some(others.min_by_key(|&index| self.running_on(index)).unwrap_or(first))
            }
        }
    }

    /// Whether a server is left that has not failed this request.
    pub fn has_other(&self, tried: &Tried) -> bool {
        (0..self.servers.len()).any(|index| !tried.contains(&index))
    }

    fn turn(&self, count: usize) -> usize {
        let index = self.next.get() % count;
        self.next.set(index + 1);
        index
    }

    /// Two different ones at random, the less busy of them: near to "least busy" without herding, at constant cost.
    fn quieter_of_two(&self, count: usize) -> usize {
        let random = self.random() as usize;
        let one = random % count;
        let other = (one + 1 + (random / count) % (count - 1)) % count;
        if self.running_on(other) < self.running_on(one) { other } else { one }
    }

    /// xorshift64*: good enough to spread load. The upper bits are the better ones.
    fn random(&self) -> u32 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn running_on(&self, index: usize) -> u32 {
        self.servers.get(index).map_or(u32::MAX, |server| server.running.get())
    }
}

/// A request that runs, counted until this is dropped.
pub(super) struct Ticket {
    upstream: Rc<Upstream>,
    pub server: Rc<Server>,
}

impl Ticket {
    pub fn new(upstream: &Rc<Upstream>, server: &Rc<Server>) -> Self {
        upstream.running.update(|count| count + 1);
        upstream.tally.running.add(1);
        server.running.update(|count| count + 1);
        Self { upstream: upstream.clone(), server: server.clone() }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.upstream.running.update(|count| count - 1);
        self.upstream.tally.running.sub(1);
        self.server.running.update(|count| count - 1);
    }
}

/// A retry that runs, counted until this is dropped.
pub(super) struct Retry {
    upstream: Rc<Upstream>,
}

impl Retry {
    /// `None`: more than `percent` of what runs, and more than three, are retries already. Then retrying would only add to the load.
    pub fn new(upstream: &Rc<Upstream>, percent: u32) -> Option<Self> {
        let share = u64::from(upstream.running.get()) * u64::from(percent) / 100;
        if u64::from(upstream.retrying.get()) >= share.max(3) {
            return None;
        }
        upstream.retrying.update(|count| count + 1);
        Some(Self { upstream: upstream.clone() })
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        self.upstream.retrying.update(|count| count - 1);
    }
}

#[cfg(test)]
mod tests;
