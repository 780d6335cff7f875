//! When a link is not entered at all: after many faults within a window, for a while, until a call succeeds. One for each link and worker.
//!
//! A guest is cheap to make, so one fault after another is no reason to refuse the requests of others: a client that knows how to trap
//! a plugin would have the whole link refused. So faults must also be a good share of the calls; below it, a fault costs its own exchange and
//! nothing else. Only where little but faults comes is the worker's time worth more, and whoever waits is better served by an answer at once.
//!
//! While it is open, exchanges meet the link's policy without a guest. When its pause is over the next call is a trial: if it succeeds, all is
//! as before; if not, the pause doubles. Calls that succeed while nothing is wrong cost nothing here.

use crate::config::BreakerSpec;
use std::time::{Duration, Instant};

/// What pauses double up to: a plugin that is broken for good costs its worker a call each half minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Faults, and what they led to.
pub(super) struct Breaker {
    spec: BreakerSpec,
    state: State,
}

enum State {
    Closed {
        faults: u32,
        /// When the first of them was, and how many calls there had been before it.
        since: Option<(Instant, u64)>,
    },
    /// Nobody enters before this moment. `pause`: how long that was.
    Open { until: Instant, pause: Duration },
    /// One is inside; another may try after this moment, as the first may have been given up by its client.
    Trial { until: Instant, pause: Duration },
}

/// The breaker opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) faults: u32,
    pub(super) pause: Duration,
}

impl Breaker {
    pub(super) const fn new(spec: BreakerSpec) -> Self {
        Self { spec, state: State::Closed { faults: 0, since: None } }
    }

    /// Whether a call need not ask.
    #[inline]
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// `Err`: not before this time has passed. `Ok(true)`: the call is a trial.
    pub(super) fn admit(&mut self, now: Instant) -> Result<bool, Duration> {
        match self.state {
            State::Closed { .. } => Ok(false),
            State::Open { until, .. } | State::Trial { until, .. } if now < until => Err(until - now),
            State::Open { pause, .. } | State::Trial { pause, .. } => {
                self.state = State::Trial { until: now + pause, pause };
                Ok(true)
            }
        }
    }

    /// Whether this ended a trial.
    #[inline]
    pub(super) fn succeeded(&mut self) -> bool {
        let trial = matches!(self.state, State::Trial { .. });
        if trial {
            self.state = State::Closed { faults: 0, since: None };
        }
        trial
    }

    /// `calls`: all so far, this one included.
    pub(super) fn failed(&mut self, now: Instant, calls: u64) -> Option<Opened> {
        let BreakerSpec { faults: most, window, share, pause: first } = self.spec;
        match &mut self.state {
            State::Closed { faults, since } => {
                let begun = since.filter(|(begun, _)| now.saturating_duration_since(*begun) <= window);
                if begun.is_none() {
                    *faults = 0;
                }
                let (_, before) = *since.insert(begun.unwrap_or((now, calls.saturating_sub(1))));
                *faults = faults.saturating_add(1);
                let enough = u64::from(*faults) * 100 >= u64::from(share) * calls.saturating_sub(before);
                if most == 0 || *faults < most || !enough {
                    return None;
                }
                let opened = Opened { faults: *faults, pause: first };
                self.state = State::Open { until: now + first, pause: first };
                Some(opened)
            }
            State::Open { pause, .. } | State::Trial { pause, .. } => {
                let pause = (*pause * 2).min(LONGEST.max(first));
                self.state = State::Open { until: now + pause, pause };
                Some(Opened { faults: 1, pause })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: BreakerSpec = BreakerSpec { faults: 3, window: Duration::from_secs(10), share: 50, pause: Duration::from_secs(1) };

    #[test]
    fn opens_after_many_tries_once_and_closes_after_a_success() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(SPEC);
        assert_eq!((breaker.failed(at(0), 1), breaker.failed(at(1), 2)), (None, None));
        assert_eq!(breaker.failed(at(2), 3), Some(Opened { faults: 3, pause: Duration::from_secs(1) }));
        assert_eq!(breaker.admit(at(2)), Err(Duration::from_secs(1)));
        assert_eq!(breaker.admit(at(3)), Ok(true), "a trial");
        assert!(breaker.admit(at(3)).is_err(), "one at a time");
        assert_eq!(breaker.failed(at(3), 4), Some(Opened { faults: 1, pause: Duration::from_secs(2) }));
        assert!(breaker.admit(at(4)).is_err());
        assert_eq!(breaker.admit(at(5)), Ok(true));
        assert_eq!(breaker.admit(at(7)), Ok(true), "the first trial was given up");
        assert!(breaker.succeeded() && breaker.is_closed());
        assert_eq!(breaker.failed(at(7), 9), None, "from the beginning");
    }

    #[test]
    fn faults_among_many_good_calls_or_long_apart_open_nothing() {
        let begun = Instant::now();
        let mut breaker = Breaker::new(SPEC);
        for n in 1..100 {
            assert_eq!(breaker.failed(begun, n * 3), None, "a third of the calls");
        }
        let mut breaker = Breaker::new(SPEC);
        for n in 1..100 {
            assert_eq!(breaker.failed(begun + Duration::from_secs(6 * n), n), None, "two in ten seconds");
        }
        let mut off = Breaker::new(BreakerSpec { faults: 0, ..SPEC });
        assert!((1..100).all(|n| off.failed(begun, n).is_none()));
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(SPEC);
        let mut pauses = Vec::new();
        for n in 1..12 {
            if let Some(Opened { pause, .. }) = breaker.failed(now, n) {
                pauses.push(pause.as_secs());
                now += pause;
                assert_eq!(breaker.admit(now), Ok(true));
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30]);
    }
}
