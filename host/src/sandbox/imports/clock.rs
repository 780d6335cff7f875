//! `clock`: the time.

use super::Capability;
use crate::sandbox::offer::Offer;

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut clock = offer.capability(Capability::Clock)?;
    clock.func("now", |cx, ()| {
        let now = cx.data().backing.rights.time.wall();
        Ok((u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),))
    })?;
    clock.func("monotonic", |cx, ()| Ok((cx.data().backing.rights.time.monotonic(),)))
}
