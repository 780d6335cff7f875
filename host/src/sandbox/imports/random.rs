//! `random`: real random bytes.

use super::Capability;
use crate::sandbox::offer::Offer;
use crate::sandbox::wasi::random_bytes;

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    offer.capability(Capability::Random)?.func("bytes", |_, (length,): (u32,)| Ok((random_bytes(length.into())?,)))
}
