//! When a guest may be replaced after faults: at once for the first [`AT_ONCE`] in a row, then after 10 ms, doubling up to 1 s, until a
//! call succeeds.
//!
//! A guest is cheap to make, so one fault after another is no reason to refuse the requests of others: a client that knows how to trap
//! a plugin would have the whole link refused. Only where nothing but faults comes is the worker's time worth more. What such a
//! client can still do is to hold up a link for a second at a time, and only while hardly anybody else uses it: one good call
//! between its own starts the count anew.

use std::time::{Duration, Instant};

/// Arbitrary: many more than come in a row by accident, and cheaper together than a handshake.
const AT_ONCE: u32 = 16;
const FIRST: Duration = Duration::from_millis(10);
/// Long enough that remaking guests costs nothing to speak of, even if `configure` takes all of its CPU limit.
const LONGEST: Duration = Duration::from_secs(1);

/// Faults in a row, and when the next guest may be made.
#[derive(Default)]
pub(super) struct Backoff {
    faults: u32,
    until: Option<Instant>,
}

impl Backoff {
    #[inline]
    pub(super) const fn succeeded(&mut self) {
        if self.faults > 0 {
            self.faults = 0;
            self.until = None;
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.until = self.faults.checked_sub(AT_ONCE).map(|doublings| now + delay(doublings));
        self.faults = self.faults.saturating_add(1);
    }

    /// How long from now on no guest may be made.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }
}

fn delay(doublings: u32) -> Duration {
    FIRST.saturating_mul(2u32.saturating_pow(doublings)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_then_doubling_until_a_success() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..AT_ONCE + 10 {
            backoff.failed(now);
            waits.push(backoff.left(now).map_or(0, |left| left.as_millis()));
        }
        let (at_once, later) = waits.split_at(AT_ONCE as usize);
        assert!(at_once.iter().all(|wait| *wait == 0), "{at_once:?}");
        assert_eq!(later, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        assert_eq!(backoff.left(now + Duration::from_secs(1)), None);
        backoff.succeeded();
        backoff.failed(now);
        assert_eq!(backoff.left(now), None);
    }
}
