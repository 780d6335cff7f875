//! Stores of small values, shared by all workers, and with some backends by all machines. Granted by name, `kv = ["sessions"]`; the operator
//! says in `[kv.sessions]` what each is.
//!
//! Keys are 1 to 1,024 bytes, values at most 64 KiB; more is a fault. Waiting for a backend holds up nobody but the exchange in hand.
//!
//! ```
//! use portcullis_sdk::kv;
//! use std::time::Duration;
//!
//! # let outside = portcullis_sdk::test::Outside::new().store("visits").install();
//! # fn visits(client: &str) -> Result<i64, kv::Error> {
//! let visits = kv::Store::named("visits");
//! visits.add(client, 1, Some(Duration::from_secs(60)))
//! # }
//! # assert_eq!((visits("a"), visits("a")), (Ok(1), Ok(2)));
//! ```

use crate::outside;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A store by its name. Naming it does nothing; each operation is one call of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Store<'n> {
    name: &'n str,
}

/// Why an operation did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The store is not granted to this plugin.
    Denied,
    /// The store is full, and what it holds has not expired.
    Full,
    /// `add` to a value that is no decimal number of 64 bits, or with a sum that is none.
    WrongType,
    /// The backend did not answer, or said this.
    Unavailable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the store is not granted"),
            Self::Full => f.write_str("the store is full"),
            Self::WrongType => f.write_str("the value is no number, or the sum none of 64 bits"),
            Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for Error {}

impl<'n> Store<'n> {
    #[inline]
    pub const fn named(name: &'n str) -> Self {
        Self { name }
    }

    /// `None`: there is no such key, or it has expired.
    ///
    /// # Errors
    /// See [`Error`]; so of all operations.
    #[inline]
    pub fn get(self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        outside::get(self.name, key.as_ref())
    }

    /// Sets a value, to be forgotten after `ttl` (`None`: never).
    #[inline]
    pub fn set(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Error> {
        outside::set(self.name, key.as_ref(), value.as_ref(), ttl.map(millis))
    }

    /// Adds to a counter, which is 0 if it is not there, and returns the sum. `ttl` counts from when it was made: adding does not prolong it.
    /// A counter reads as its decimal digits, and what reads so is a counter.
    #[inline]
    pub fn add(self, key: impl AsRef<[u8]>, delta: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        outside::add(self.name, key.as_ref(), delta, ttl.map(millis))
    }

    /// Sets the value if it is `expected` (`None`: if it is not there). Returns whether it was.
    #[inline]
    pub fn compare_and_set(
        self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        outside::compare_and_set(self.name, key.as_ref(), expected, value.as_ref(), ttl.map(millis))
    }

    /// Forgets a key. Returns whether it was there.
    #[inline]
    pub fn delete(self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        outside::delete(self.name, key.as_ref())
    }

    /// Takes units from a bucket that holds `capacity` of them, is full at first, and gets one back every `interval`, of at least a nanosecond: a rate
    /// limit. One step, whoever else takes from it, by the store's own clock. A bucket holds what is taken and fills within a year, or it is
    /// a fault. A key that is taken from is for this alone.
    #[inline]
    pub fn take(self, key: impl AsRef<[u8]>, units: u32, capacity: u32, interval: Duration) -> Result<Taken, Error> {
        let nanos = interval.as_secs().saturating_mul(1_000_000_000).saturating_add(interval.subsec_nanos().into());
        outside::take(self.name, key.as_ref(), units, capacity, nanos)
    }
}

/// What a bucket says; see [`Store::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether the units were taken; if not, the bucket is as it was.
    pub admitted: bool,
    /// Whole units that could be taken now.
    pub left: u32,
    /// Until as many units could be taken as were asked for; zero if they were taken. In whole milliseconds, as the next.
    pub retry: Duration,
    /// Until the bucket is full again.
    pub full: Duration,
}

/// Rounded up, so that nothing is forgotten before its time. By hand, because `as_millis` brings arithmetic of 128 bits.
#[inline]
fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(time.subsec_nanos().div_ceil(1_000_000).into())
}
