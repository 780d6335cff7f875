//! What guests are told of the time, and what stores expire by: the machine's, or one that a tool for authors holds in its hand.

use super::wasi;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whose time it is.
#[derive(Clone, Default)]
pub enum Time {
    #[default]
    Real,
    Held(Arc<HeldTime>),
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Real, Self::Real) => true,
            (Self::Held(one), Self::Held(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// A clock that stands until it is moved.
pub struct HeldTime {
    /// Since 1970, when it began.
    wall: Duration,
    began: Instant,
    /// Nanoseconds that it was moved since.
    moved: AtomicU64,
}

impl HeldTime {
    pub fn new(wall: SystemTime) -> Arc<Self> {
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Arc::new(Self { wall, began: Instant::now(), moved: AtomicU64::new(0) })
    }

    /// Beyond 584 years it stands for good.
    pub fn advance(&self, by: Duration) {
        let moved = self.moved().saturating_add(by);
        self.moved.store(u64::try_from(moved.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn moved(&self) -> Duration {
        Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }
}

impl Time {
    /// Since 1970.
    pub(super) fn wall(&self) -> Duration {
        match self {
            Self::Real => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Held(held) => held.wall.saturating_add(held.moved()),
        }
    }

    /// Nanoseconds since some moment.
    pub(super) fn monotonic(&self) -> u64 {
        match self {
            Self::Real => wasi::monotonic(),
            Self::Held(held) => held.moved.load(Ordering::Relaxed),
        }
    }

    #[inline]
    pub(super) fn instant(&self) -> Instant {
        match self {
            Self::Real => Instant::now(),
            Self::Held(held) => held.began.checked_add(held.moved()).unwrap_or(held.began),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_clock_stands_until_it_is_moved() {
        let held = HeldTime::new(UNIX_EPOCH + Duration::from_secs(100));
        let time = Time::Held(Arc::clone(&held));
        let begin = time.instant();
        assert_eq!((time.wall(), time.monotonic(), time.instant()), (Duration::from_secs(100), 0, begin));
        held.advance(Duration::from_secs(30));
        assert_eq!((time.wall(), time.monotonic()), (Duration::from_secs(130), 30_000_000_000));
        assert_eq!(time.instant(), begin + Duration::from_secs(30));
    }
}
