//! What exchanges are called.

use crate::message::ExchangeId;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Numbers that are unique in the process: the worker in the top 16 bits, below a counter that starts anywhere, so that numbers of
/// earlier processes do not come again soon.
pub(super) struct Ids {
    worker: u64,
    next: Cell<u64>,
}

impl Ids {
    const COUNTER: u64 = (1 << 48) - 1;

    pub fn new(worker: u16) -> Self {
        // The standard library's source of random keys.
        let start = RandomState::new().build_hasher().finish();
        Self { worker: u64::from(worker) << 48, next: Cell::new(start) }
    }

    pub fn next(&self) -> ExchangeId {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        ExchangeId(self.worker | number & Self::COUNTER)
    }
}

/// An id as logs write it.
pub(super) struct Hex(pub ExchangeId);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_and_within_workers() {
        let (one, two) = (Ids::new(1), Ids::new(2));
        let all: std::collections::BTreeSet<_> = (0..1000).flat_map(|_| [one.next().0, two.next().0]).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|id| matches!(id >> 48, 1 | 2)));
        let wrapping = Ids { worker: 3 << 48, next: Cell::new(u64::MAX) };
        assert_eq!((wrapping.next().0 >> 48, wrapping.next().0), (3, 3 << 48));
    }
}
