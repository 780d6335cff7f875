//! `clock`: real time.

use super::Capability;
use crate::sandbox::offer::Offer;
use crate::sandbox::wasi::monotonic;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut clock = offer.capability(Capability::Clock)?;
    clock.func("now", |_, ()| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),))
    })?;
    clock.func("monotonic", |_, ()| Ok((monotonic(),)))
}
