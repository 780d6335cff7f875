//! Passive ejection: a server that fails several requests in a row is set aside for a while, longer each time. One worker's own view;
//! what it sees of a server is what its requests meet.

use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// When servers are set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ejection {
    /// Failures in a row; 0: never.
    pub after: u32,
    /// The first time; n times this the nth time.
    pub time: Duration,
}

/// No server is set aside for longer, however often it failed.
const LONGEST: Duration = Duration::from_secs(300);

/// How a server has done lately.
#[derive(Debug, Default)]
pub(super) struct Standing {
    failures: Cell<u32>,
    /// How often it was set aside without having done well for long.
    times: Cell<u32>,
    until: Cell<Option<Instant>>,
}

impl Standing {
    pub fn is_out(&self, now: Instant) -> bool {
        self.until.get().is_some_and(|until| until > now)
    }

    /// When it came back, if it was set aside and is no more.
    pub fn back(&self, now: Instant) -> Option<Instant> {
        self.until.get().filter(|until| *until <= now)
    }

    #[inline]
    pub fn did_well(&self, now: Instant) {
        if self.failures.get() > 0 {
            self.failures.set(0);
        }
        if self.until.get().is_some_and(|until| now >= until + LONGEST) {
            self.until.set(None);
            self.times.set(0);
        }
    }

    /// For how long it is to be set aside, if it is and `may` be.
    pub fn failed(&self, ejection: Ejection, now: Instant, may: impl FnOnce() -> bool) -> Option<Duration> {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if ejection.after == 0 || failures < ejection.after || self.is_out(now) || !may() {
            return None;
        }
        let times = self.times.get().saturating_add(1);
        let time = ejection.time.saturating_mul(times).min(LONGEST.max(ejection.time));
        self.times.set(times);
        self.until.set(Some(now + time));
        // When it comes back, one more failure is enough.
        self.failures.set(ejection.after - 1);
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection = Ejection { after: 3, time: Duration::from_secs(10) };

    #[test]
    fn failures_in_a_row_set_a_server_aside_for_longer_each_time() {
        let (standing, mut now) = (Standing::default(), Instant::now());
        let failed = |now| standing.failed(EJECTION, now, || true).map(|time| time.as_secs());
        assert_eq!((failed(now), failed(now), failed(now)), (None, None, Some(10)));
        assert!(standing.is_out(now) && failed(now).is_none());
        now += Duration::from_secs(10);
        assert!(!standing.is_out(now));
        assert_eq!(failed(now), Some(20), "one failure is enough when it is back");
        for _ in 0..100 {
            now += LONGEST;
            failed(now);
        }
        assert!(standing.is_out(now + LONGEST - Duration::from_secs(1)) && !standing.is_out(now + LONGEST));
    }

    #[test]
    fn a_success_ends_the_row_and_time_ends_the_memory() {
        let (standing, now) = (Standing::default(), Instant::now());
        let failed = |now| standing.failed(EJECTION, now, || true);
        for _ in 0..10 {
            assert!(failed(now).is_none() && failed(now).is_none());
            standing.did_well(now);
        }
        failed(now);
        failed(now);
        assert_eq!(failed(now), Some(Duration::from_secs(10)));
        let later = now + Duration::from_secs(10) + LONGEST;
        standing.did_well(later);
        failed(later);
        failed(later);
        assert_eq!(failed(later), Some(Duration::from_secs(10)));
    }

    #[test]
    fn it_stays_where_it_may_not_go_and_where_nobody_asks() {
        let (standing, now) = (Standing::default(), Instant::now());
        assert!((0..9).all(|_| standing.failed(EJECTION, now, || false).is_none()) && !standing.is_out(now));
        let never = Ejection { after: 0, ..EJECTION };
        assert!((0..9).all(|_| standing.failed(never, now, || true).is_none()));
    }
}
