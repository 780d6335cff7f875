//! Counts of what runs: a request on a server, and a request that is tried again.

use super::{Server, Upstream};
use crate::upstream::channel::Channel;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// A request that runs, counted until this is dropped.
pub(in crate::upstream) struct Ticket {
    upstream: Rc<Upstream>,
    pub server: Rc<Server>,
    /// The server's.
    pub index: usize,
}

impl Ticket {
    pub fn new(upstream: &Rc<Upstream>, server: &Rc<Server>, index: usize) -> Self {
        upstream.load.running.update(|count| count + 1);
        upstream.tally.running.add(1);
        server.running.update(|count| count + 1);
        server.shown.add(1);
        Self { upstream: upstream.clone(), server: server.clone(), index }
    }

    /// The server took so long to a response head, which is of no use where there is neither a choice nor a limit that learns.
    #[inline]
    pub fn heard(&self, took: Duration, now: Instant) {
        self.upstream.learn(took, now);
        if self.upstream.servers.len() > 1 {
            self.server.heard(took, now);
            self.server.standing.did_well(now);
        }
    }

    /// A connection that can carry another request; closed if it is not to lie idle.
    pub fn put_back(&self, channel: Box<Channel>, now: Instant) {
        if !self.upstream.wants_less(&self.server) {
            self.server.pool.put(channel, now);
        }
    }

    /// The server did what it was asked to.
    pub fn did_well(&self, now: Instant) {
        self.server.standing.did_well(now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.upstream.load.running.update(|count| count - 1);
        self.upstream.tally.running.sub(1);
        self.server.running.update(|count| count - 1);
        self.server.shown.sub(1);
        self.upstream.is_less();
    }
}

/// A retry that runs, counted until this is dropped.
pub(in crate::upstream) struct Retry {
    upstream: Rc<Upstream>,
}

impl Retry {
    /// `None`: more than `percent` of what runs, and more than three, are retries already. Then retrying would only add to the load.
    pub fn new(upstream: &Rc<Upstream>, percent: u32) -> Option<Self> {
        if !Self::is_affordable(upstream, percent) {
            return None;
        }
        upstream.load.retrying.update(|count| count + 1);
        Some(Self { upstream: upstream.clone() })
    }

    pub fn is_affordable(upstream: &Upstream, percent: u32) -> bool {
        let share = u64::from(upstream.load.running.get()) * u64::from(percent) / 100;
        u64::from(upstream.load.retrying.get()) < share.max(3)
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        self.upstream.load.retrying.update(|count| count - 1);
    }
}
