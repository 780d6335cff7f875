//! `wasi:random`: real random bytes, and a constant seed for hash maps.

use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;

/// Bytes in one call.
const MOST: u64 = 64 << 10;

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    // The insecure ones need not be worse.
    for (interface, bytes, number) in [
        ("wasi:random/random", "get-random-bytes", "get-random-u64"),
        ("wasi:random/insecure", "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut random = offer.interface(interface)?;
        random.func(bytes, |_, (length,): (u64,)| Ok((many(length)?,)))?;
        random.func(number, |_, ()| {
            let mut bytes = [0; 8];
            fill(&mut bytes)?;
            Ok((u64::from_le_bytes(bytes),))
        })?;
    }
    let mut seed = offer.interface("wasi:random/insecure-seed")?;
    seed.func("insecure-seed", |cx, ()| Ok((cx.data().backing.seed,)))
}

pub(in crate::sandbox) fn many(length: u64) -> wasmtime::Result<Vec<u8>> {
    if length > MOST {
        return Err(Stop::TooMuch("random bytes").into());
    }
    let mut bytes = vec![0; length as usize];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> wasmtime::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| wasmtime::Error::msg("the system has no random numbers"))
}
