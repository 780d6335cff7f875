//! Chance, where so many of a hundred requests are meant: one worker's own, and no secret.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// State of the generator. Never zero.
pub(super) struct Dice(Cell<u64>);

impl Default for Dice {
    fn default() -> Self {
        Self(Cell::new(RandomState::new().hash_one("dice") | 1))
    }
}

impl Dice {
    /// Whether this one is among so many of a hundred.
    pub fn picks(&self, share: u32) -> bool {
        // xorshift64*: good enough to pick by.
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 100 < u64::from(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_picked() {
        let dice = Dice::default();
        let picked = |share| (0..100_000).filter(|_| dice.picks(share)).count();
        assert_eq!((picked(0), picked(100)), (0, 100_000));
        assert!((9_000..=11_000).contains(&picked(10)));
    }
}
