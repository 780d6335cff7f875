//! Idle connections to one server, kept for the next request.

use super::channel::Channel;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Pool {
    /// The one used last is on top and taken first, so the others grow old and go.
    idle: RefCell<Vec<Idle>>,
    keep: usize,
    time: Duration,
    age: Duration,
}

struct Idle {
    channel: Box<Channel>,
    since: Instant,
}

/// Between two sweeps.
pub(super) const SWEEP: Duration = Duration::from_secs(5);
/// How many times `keep` may be idle between two sweeps. Under load, answers come in bursts: for a moment most connections are idle,
/// and to close them then means to make them again right away.
const BURST: usize = 8;

impl Pool {
    pub fn new(keep: usize, time: Duration, age: Duration) -> Self {
        Self { idle: RefCell::default(), keep, time, age }
    }

    /// A connection that is open and not too old.
    pub fn take(&self, now: Instant) -> Option<Box<Channel>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut channel, since }) = idle.pop() {
            if now.saturating_duration_since(since) >= self.time {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if now.saturating_duration_since(channel.opened()) < self.age && channel.is_quiet() {
                return Some(channel);
            }
        }
        None
    }

    pub fn put(&self, mut channel: Box<Channel>, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.keep.saturating_mul(BURST) {
            channel.rest();
            idle.push(Idle { channel, since: now });
        }
    }

    /// Closes what nobody needed lately: connections past their time, and those beyond `keep` that lay idle since the last sweep.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let mut surplus = idle.len().saturating_sub(self.keep);
        idle.retain_mut(|Idle { channel, since }| {
            let rested = now.saturating_duration_since(*since);
            if surplus > 0 && rested >= SWEEP {
                surplus -= 1;
                return false;
            }
            rested < self.time && now.saturating_duration_since(channel.opened()) < self.age && channel.is_quiet()
        });
    }
}
