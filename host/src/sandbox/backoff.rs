//! When a guest may be replaced after faults: at once the first time, then after 10 ms, doubling up to 10 s, until a call succeeds.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(10);

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
        self.until = self.faults.checked_sub(1).map(|doublings| now + delay(doublings));
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
    fn first_at_once_then_doubling_until_a_success() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..14 {
            backoff.failed(now);
            waits.push(backoff.left(now).map_or(0, |left| left.as_millis()));
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000, 10_000]);
        assert_eq!(backoff.left(now + Duration::from_secs(10)), None);
        backoff.succeeded();
        backoff.failed(now);
        assert_eq!(backoff.left(now), None);
    }
}
