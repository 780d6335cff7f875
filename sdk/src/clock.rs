//! The time. Granted by `clock = true`.

use crate::outside;
use core::time::Duration;

/// Time since 1970-01-01T00:00:00Z, leap seconds not counted. May jump when the machine's clock is set.
#[inline]
pub fn now() -> Duration {
    Duration::from_nanos(outside::now())
}

/// Time since an arbitrary moment before the proxy started. Never goes back; the same for all guests of the process.
#[inline]
pub fn monotonic() -> Duration {
    Duration::from_nanos(outside::monotonic())
}
