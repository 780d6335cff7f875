//! Random bits from the proxy. Using them makes the component import `wasi:random/random`, and its decisions are not remembered.

/// 64 bits fit for cryptography.
#[cfg(target_family = "wasm")]
pub fn bits() -> u64 {
    crate::abi::imports::random()
}

/// 64 bits, for tests: different each time, not fit for cryptography.
#[cfg(not(target_family = "wasm"))]
pub fn bits() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}
