//! Random numbers from the proxy. A plugin that uses them is not a function of what it is shown, and its decisions are not remembered.

use crate::outside;
use alloc::vec::Vec;

/// This many bytes, fit for keys and tokens. More than 64 KiB at once is a fault. Granted by `random = true`.
#[inline]
pub fn bytes(length: u32) -> Vec<u8> {
    outside::bytes(length)
}

/// 64 bits fit for cryptography. Imports `wasi:random/random`, which needs no grant.
#[cfg(target_family = "wasm")]
pub fn bits() -> u64 {
    outside::random()
}

/// 64 bits, for tests: different each time, not fit for cryptography.
#[cfg(not(target_family = "wasm"))]
pub fn bits() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}
