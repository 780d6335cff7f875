//! When a name is looked up again.

use super::Query;
use crate::upstream::health::jittered;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// DNS that allows less is asked no more often than this.
const LEAST: Duration = Duration::from_secs(1);

/// Who sets a longer time to live may have meant it for a world without containers: nobody waits for longer than this. As kube-proxy's and
/// others' resynchronisations, a matter of minutes.
const MOST: Duration = Duration::from_secs(300);

/// Between two look-ups that fail. Chosen so that whoever repairs DNS need not wait.
const MOST_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// `ttl`: the least of all records in the answer.
pub fn after_answer(ttl: Duration) -> Duration {
    ttl.clamp(LEAST, MOST)
}

/// After so many failures in a row: 1 s, 2 s, 4 s … and never more than 30 s, give or take 15 %, so that many do not ask at once.
pub fn after_failure(failures: u32, random: u64) -> Duration {
    let doubled = LEAST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    jittered(doubled.min(MOST_AFTER_FAILURE), random)
}

/// Different in every process.
pub fn random(query: &Query, failures: u32) -> u64 {
    RandomState::new().hash_one((query, failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_believed_for_as_long_as_they_say_within_reason() {
        let after = |ttl| after_answer(Duration::from_secs(ttl)).as_secs();
        assert_eq!((after(0), after(1), after(60), after(86_400)), (1, 1, 60, 300));
    }

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often() {
        for (failures, usual) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (100, 30), (u32::MAX, 30)] {
            for random in [0, 15, 30] {
                let after = after_failure(failures, random);
                assert!(
                    after >= Duration::from_millis(usual * 850) && after <= Duration::from_millis(usual * 1150),
                    "{failures}: {after:?}"
                );
            }
        }
    }
}
