//! Stores of small values behind the capability `kv`: shared by all workers, in this process or in Redis.

mod bucket;
mod memory;
mod redis;

pub(super) use bucket::{Bucket, Taken};

use super::time::Time;
use crate::config::{StoreBackend, StoreSpec};
use memory::MemoryStore;
use redis::RedisStore;
use std::time::Duration;

/// What the local store may hold: some hundred thousand clients at once.
const LOCAL: usize = 64 << 20;

/// One `[kv.x]`, or the local store.
pub enum Store {
    Memory(MemoryStore),
    Redis(Box<RedisStore>),
}

/// What a guest wants of a store.
pub(super) enum Operation {
    Get(Vec<u8>),
    Set(Set),
    Add(Add),
    Replace(Replace),
    Delete(Vec<u8>),
    Take(Take),
}

pub(super) struct Set {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub ttl: Option<Duration>,
}

pub(super) struct Add {
    pub key: Vec<u8>,
    pub delta: i64,
    /// From when the counter is made.
    pub ttl: Option<Duration>,
}

/// Compare and set.
pub(super) struct Replace {
    pub key: Vec<u8>,
    /// `None`: if there is nothing.
    pub expected: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub ttl: Option<Duration>,
}

/// Units from a bucket (`bucket`).
pub(super) struct Take {
    pub key: Vec<u8>,
    pub bucket: Bucket,
    pub units: u32,
}

/// Of the operation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Value(Option<Vec<u8>>),
    Sum(i64),
    /// Whether anything was done.
    Done(bool),
    Taken(Taken),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreError {
    Full,
    WrongType,
    Unavailable(String),
}

impl Store {
    /// Connects to nothing yet. Errors: an address that no server can have.
    pub fn open(spec: &StoreSpec) -> Result<Self, String> {
        match &spec.backend {
            StoreBackend::Memory { bytes } => Ok(Self::Memory(MemoryStore::new(*bytes))),
            StoreBackend::Redis { url, prefix, timeout } => {
                RedisStore::new(url, prefix, *timeout).map(|store| Self::Redis(Box::new(store)))
            }
        }
    }

    /// Whether its answers have to be waited for.
    pub(super) const fn is_far(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    pub(super) async fn run(&self, operation: Operation) -> Result<Outcome, StoreError> {
        match self {
            Self::Memory(store) => store.run(operation),
            Self::Redis(store) => store.run(operation).await,
        }
    }

    /// In this process, for the bundled plugins that need one without the operator's doing.
    pub fn local() -> Self {
        Self::Memory(MemoryStore::new(LOCAL))
    }

    /// One in this process that expires by `time`.
    pub fn memory(bytes: usize, time: Time) -> Self {
        Self::Memory(MemoryStore::by(bytes, time))
    }

    /// Puts a value there without waiting, for tools. Whether it could be done.
    pub fn put(&self, key: &str, value: &str) -> bool {
        self.run_here(Operation::Set(Set { key: key.into(), value: value.into(), ttl: None })).is_ok()
    }

    /// Without waiting.
    pub(super) fn run_here(&self, operation: Operation) -> Result<Outcome, StoreError> {
        match self {
            Self::Memory(store) => store.run(operation),
            Self::Redis(_) => Err(StoreError::Unavailable("this guest cannot wait".to_owned())),
        }
    }
}

impl Operation {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Get(key) | Self::Delete(key) => key,
            Self::Set(Set { key, .. }) | Self::Add(Add { key, .. }) | Self::Replace(Replace { key, .. }) | Self::Take(Take { key, .. }) => {
                key
            }
        }
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Set(Set { value, .. }) | Self::Replace(Replace { value, .. }) => Some(value),
            _ => None,
        }
    }
}

impl Outcome {
    pub(super) fn value(self) -> Option<Vec<u8>> {
        match self {
            Self::Value(value) => value,
            _ => None,
        }
    }

    pub(super) fn sum(self) -> i64 {
        match self {
            Self::Sum(sum) => sum,
            _ => 0,
        }
    }

    pub(super) fn taken(self) -> Taken {
        match self {
            Self::Taken(taken) => taken,
            _ => Taken::default(),
        }
    }

    pub(super) fn done(self) -> bool {
        matches!(self, Self::Done(true))
    }
}
