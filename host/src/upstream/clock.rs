//! Moments as numbers, so that threads can tell each other of them without a lock.

use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// Some time before everything of interest.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Since the beginning; at least 1.
pub fn millis(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*BEGINNING).as_millis()).unwrap_or(u64::MAX).max(1)
}

pub fn at(millis: u64) -> Instant {
    *BEGINNING + Duration::from_millis(millis)
}
