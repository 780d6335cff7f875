//! Decisions by the text of their inputs, bounded in number and bytes.
//!
//! Two halves: what is new goes into the first, and when that is full it becomes the second and the old second is dropped. What is asked for
//! moves back to the first, so that what is in use stays, and nothing has to be kept in order.

use super::Known;
use foldhash::quality::RandomState;
use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// Of one phase of a link on one worker: half of what it may hold. Chosen arbitrarily: some hundred paths or clients.
const HALF_ENTRIES: usize = 512;
const HALF_BYTES: usize = 128 << 10;

/// One that takes more is not worth it.
const LARGEST: usize = 16 << 10;

/// All links of a worker together, bytes. What is beyond is not remembered until something else is dropped.
const WORKER_BYTES: usize = 16 << 20;

thread_local! {
    /// Bytes on all shelves of this worker.
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

pub(super) struct Shelf<D> {
    young: Half<D>,
    old: Half<D>,
}

struct Half<D> {
    /// The seed is random: clients choose the inputs.
    known: HashSet<Entry<D>, RandomState>,
    bytes: usize,
}

/// Found by its inputs alone.
struct Entry<D>(Rc<Known<D>>, usize);

impl<D> Default for Shelf<D> {
    fn default() -> Self {
        Self { young: Half::default(), old: Half::default() }
    }
}

impl<D> Default for Half<D> {
    fn default() -> Self {
        Self { known: HashSet::default(), bytes: 0 }
    }
}

impl<D> Shelf<D> {
    #[inline]
    pub(super) fn find(&mut self, inputs: &[u8]) -> Option<Rc<Known<D>>> {
        match self.young.known.get(inputs) {
            Some(entry) => Some(Rc::clone(&entry.0)),
            None => self.call_back(inputs),
        }
    }

    /// From the old half into the young one.
    #[cold]
    fn call_back(&mut self, inputs: &[u8]) -> Option<Rc<Known<D>>> {
        let entry = self.old.known.take(inputs)?;
        let (known, cost) = (Rc::clone(&entry.0), entry.1);
        self.old.give_back(cost);
        self.insert(entry, cost);
        Some(known)
    }

    /// `cost` in bytes.
    pub(super) fn keep(&mut self, known: Rc<Known<D>>, cost: usize) {
        if cost <= LARGEST {
            self.insert(Entry(known, cost), cost);
        }
    }

    fn insert(&mut self, entry: Entry<D>, cost: usize) {
        let full = self.young.known.len() >= HALF_ENTRIES || self.young.bytes + cost > HALF_BYTES;
        if full || TAKEN.get() + cost > WORKER_BYTES {
            self.old = std::mem::take(&mut self.young);
        }
        if TAKEN.get() + cost <= WORKER_BYTES && self.young.known.insert(entry) {
            self.young.bytes += cost;
            TAKEN.set(TAKEN.get() + cost);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.known.len() + self.old.known.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }
}

impl<D> Half<D> {
    fn give_back(&mut self, cost: usize) {
        self.bytes -= cost;
        TAKEN.set(TAKEN.get().saturating_sub(cost));
    }
}

impl<D> Drop for Half<D> {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

impl<D> Borrow<[u8]> for Entry<D> {
    fn borrow(&self) -> &[u8] {
        &self.0.inputs
    }
}

impl<D> Hash for Entry<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.inputs.hash(state);
    }
}

impl<D> PartialEq for Entry<D> {
    fn eq(&self, other: &Self) -> bool {
        self.0.inputs == other.0.inputs
    }
}

impl<D> Eq for Entry<D> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Decision;

    fn known(serial: u64) -> Rc<Known> {
        let inputs = serial.to_le_bytes().as_slice().into();
        Rc::new(Known { serial, inputs, decision: Decision::next() })
    }

    fn found(shelf: &mut Shelf<Decision>, serial: u64) -> Option<u64> {
        shelf.find(&serial.to_le_bytes()).map(|known| known.serial)
    }

    #[test]
    fn holds_no_more_than_it_may_and_keeps_what_is_asked_for() {
        let mut shelf = Shelf::default();
        for serial in 0..10_000 {
            shelf.keep(known(serial), 100);
            assert_eq!(found(&mut shelf, 0), Some(0), "asked for all the time");
            assert!(shelf.len() <= 2 * HALF_ENTRIES && shelf.bytes() == 100 * shelf.len());
        }
        assert_eq!(found(&mut shelf, 9_999), Some(9_999));
        assert_eq!(found(&mut shelf, 1), None, "long ago");
    }

    #[test]
    fn bytes_are_bounded_on_a_shelf_and_on_a_worker() {
        std::thread::spawn(|| {
            let mut shelves: Vec<Shelf<Decision>> = (0..200).map(|_| Shelf::default()).collect();
            for serial in 0..100 {
                for shelf in &mut shelves {
                    shelf.keep(known(serial), LARGEST);
                    assert!(shelf.bytes() <= 2 * HALF_BYTES);
                }
                assert!(TAKEN.get() <= WORKER_BYTES);
                assert_eq!(TAKEN.get(), shelves.iter().map(Shelf::bytes).sum::<usize>());
            }
            shelves[0].keep(known(1000), LARGEST + 1);
            assert_eq!(found(&mut shelves[0], 1000), None, "too large");
            drop(shelves);
            assert_eq!(TAKEN.get(), 0);
        })
        .join()
        .unwrap();
    }
}
