//! How much CPU time one request's guest has had. It counts only while the guest is polled, so that waiting is free.

use crate::sandbox::clock::thread_cpu_time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Read by the epoch's callback, which runs on the guest's stack, and written by whoever polls the guest; both on one thread, one after the other, so
/// that the order of these loads and stores is the program's.
pub(super) struct Meter {
    limit: u64,
    used: AtomicU64,
    since: AtomicU64,
}

impl Meter {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit: nanos(limit), used: AtomicU64::new(0), since: AtomicU64::new(0) }
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_nanos(self.limit)
    }

    /// The guest is polled from here.
    pub(super) fn resume(&self) {
        self.since.store(nanos(thread_cpu_time()), Ordering::Relaxed);
    }

    /// It is not, from here.
    pub(super) fn pause(&self) {
        let now = nanos(thread_cpu_time());
        self.used.fetch_add(now.saturating_sub(self.since.load(Ordering::Relaxed)), Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    /// While it is polled.
    pub(super) fn is_over(&self) -> bool {
        let running = nanos(thread_cpu_time()).saturating_sub(self.since.load(Ordering::Relaxed));
        self.used.load(Ordering::Relaxed).saturating_add(running) >= self.limit
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_was_used_while_polled_and_nothing_else() {
        let meter = Meter::new(Duration::from_millis(20));
        let burn = |time| {
            let begun = thread_cpu_time();
            while thread_cpu_time() - begun < Duration::from_millis(time) {}
        };
        meter.resume();
        burn(5);
        meter.pause();
        burn(30);
        meter.resume();
        assert!(!meter.is_over(), "not polled, not counted");
        burn(16);
        assert!(meter.is_over());
    }
}
