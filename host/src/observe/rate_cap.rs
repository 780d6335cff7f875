//! A cap on how often something is said, for log lines that a peer or a guest can cause at will.

use std::time::{Duration, Instant};

/// A token bucket that counts what it refused.
#[derive(Debug)]
pub struct RateCap {
    /// Between two tokens.
    interval: Duration,
    burst: u32,
    tokens: u32,
    /// When the last token was counted in. `None`: nothing was asked yet.
    since: Option<Instant>,
    refused: u64,
}

impl RateCap {
    /// `burst` at once, then one each `interval`.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { interval, burst, tokens: burst, since: None, refused: 0 }
    }

    /// `Some`: go on; the number of refusals since the last time, to be said along. `None`: be silent.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        self.refill(now);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Some(std::mem::take(&mut self.refused))
            }
            None => {
                self.refused += 1;
                None
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since).as_nanos();
        // An interval of zero would mean no cap at all; a nanosecond is as good.
        let whole = elapsed / self.interval.as_nanos().max(1);
        let fresh = u32::try_from(whole).unwrap_or(u32::MAX);
        if fresh >= self.burst - self.tokens {
            (self.tokens, self.since) = (self.burst, Some(now));
        } else {
            self.tokens += fresh;
            self.since = Some(since + self.interval * fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_one_each_interval_and_refusals_are_counted() {
        let start = Instant::now();
        let mut cap = RateCap::new(2, Duration::from_secs(1));
        let at = |ms| start + Duration::from_millis(ms);
        let asked = [0, 0, 0, 500, 1000, 1999, 2000, 60_000, 60_000, 60_000];
        let answers: Vec<_> = asked.into_iter().map(|ms| cap.admit(at(ms))).collect();
        let expected = [Some(0), Some(0), None, None, Some(2), None, Some(1), Some(0), Some(0), None];
        assert_eq!(answers, expected);
    }
}
