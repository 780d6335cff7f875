//! CPU time of one call: how much a guest has had, asked only when it has run past a tick.
//!
//! The epoch is wall time. A worker that had to share its core would fault innocent guests by it, so at the first tick within a
//! call the thread's CPU clock is read, and from then on it is what counts. Most calls end before the first tick and never pay.

use super::fault::Stop;
use super::ticker::TICK;
use std::time::Duration;
use wasmtime::UpdateDeadline;

/// Held in each store. A call is stopped after `limit` and at most two ticks more of CPU time.
pub(super) struct CpuClock {
    limit: Duration,
    /// The thread's CPU time at the call's first tick.
    since: Option<Duration>,
    /// Before the call waited, in its later parts.
    before: Duration,
}

impl CpuClock {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, since: None, before: Duration::ZERO }
    }

    /// A new call begins.
    #[inline]
    pub(super) const fn restart(&mut self) {
        self.since = None;
        self.before = Duration::ZERO;
    }

    /// The call waits from here; time counts again from its next tick.
    pub(super) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.before += thread_cpu_time().saturating_sub(since);
        }
    }

    /// The epoch passed the deadline: go on for how many ticks?
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_cpu_time();
        let used = self.before + now.saturating_sub(*self.since.get_or_insert(now));
        match self.limit.checked_sub(used) {
            Some(left) if !left.is_zero() => Ok(UpdateDeadline::Continue(ticks(left))),
            _ => Err(Stop::OutOfTime(self.limit).into()),
        }
    }
}

/// Rounded up, at least one.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX >> 1).max(1)
}

#[allow(unsafe_code, reason = "clock_gettime has no safe wrapper among our dependencies; it fills the struct it is given")]
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the length of the call.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    // Fails only for an unknown clock; zero would then let a guest run for ever, so stop it instead.
    if done != 0 {
        return Duration::MAX;
    }
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_cpu_time_and_not_time_spent_waiting() {
        let mut clock = CpuClock::new(Duration::from_millis(20));
        assert!(matches!(clock.tick(), Ok(UpdateDeadline::Continue(20))));
        std::thread::sleep(Duration::from_millis(50));
        assert!(clock.tick().is_ok(), "asleep is not running");
        let begun = thread_cpu_time();
        while thread_cpu_time() - begun < Duration::from_millis(25) {}
        assert!(clock.tick().is_err());
        clock.restart();
        assert!(clock.tick().is_ok(), "a new call begins at zero");
    }

    #[test]
    fn rounds_up_to_whole_ticks() {
        assert_eq!(ticks(Duration::from_micros(1)), 1);
        assert_eq!(ticks(Duration::from_micros(4001)), 5);
    }
}
