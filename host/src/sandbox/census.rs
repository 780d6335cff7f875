//! What the guests of one plugin did and are, all links, workers and generations together: numbers that go on over reloads.

use super::configured::{Counts, Tally};
use std::sync::{Arc, Mutex, PoisonError};

/// Of one plugin. Links that share it are counted together.
#[derive(Default)]
pub struct Census(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Of each link and worker.
    tallies: Vec<Arc<Tally>>,
    /// Of those that nothing writes any more.
    past: Counts,
}

impl Census {
    /// Consistent to within the calls that run meanwhile.
    pub fn counts(&self) -> Counts {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.fold();
        entries.tallies.iter().fold(entries.past, |sum, tally| tally.add_to(sum))
    }

    pub(super) fn enter(&self, tally: Arc<Tally>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.fold();
        entries.tallies.push(tally);
    }
}

impl Entries {
    /// A tally that only we hold is final: its link and its guests are gone.
    fn fold(&mut self) {
        let Self { tallies, past } = self;
        tallies.retain(|tally| {
            let lives = Arc::strong_count(tally) > 1;
            if !lives {
                *past = tally.add_to(*past);
            }
            lives
        });
    }
}
