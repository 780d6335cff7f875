//! Secrets by name. Granted one by one, `secret = ["JWT_KEY"]`; the operator says in `[secret]` where each comes from.

use crate::outside;
use alloc::vec::Vec;

/// The secret's bytes, as they were when the configuration was loaded; `None` if it is not granted to this plugin. Also in `configure`.
#[inline]
pub fn get(name: &str) -> Option<Vec<u8>> {
    outside::secret(name)
}

/// Whether two texts are equal, in a time that tells nothing of where they differ. (That their lengths differ can be told.) Needs no grant.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = |differ, (a, b): (&u8, &u8)| core::hint::black_box(differ | (a ^ b));
    one.len() == other.len() && one.iter().zip(other).fold(0, differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_the_same() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a") && !same(b"bbc", b"abc"));
    }
}
