//! What plugins can be granted by name: `[kv.x]`, stores of small values, and `[secret]`.

use super::Location;
use std::fmt;
use std::time::Duration;

/// The `x` of `[kv.x]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreName(pub String);

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[kv.x]` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSpec {
    pub backend: StoreBackend,
    pub at: Location,
}

/// Where a store keeps what is in it.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreBackend {
    /// In this process; gone when it ends. At most this many bytes, keys and some overhead included.
    Memory { bytes: usize },
    /// In a Redis or Valkey server, under keys that begin with `prefix`.
    Redis { url: String, prefix: String, timeout: Duration },
}

impl fmt::Debug for StoreBackend {
    /// The URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { bytes } => f.debug_struct("Memory").field("bytes", bytes).finish(),
            Self::Redis { prefix, timeout, .. } => {
                f.debug_struct("Redis").field("prefix", prefix).field("timeout", timeout).finish_non_exhaustive()
            }
        }
    }
}

/// A secret, not to be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
