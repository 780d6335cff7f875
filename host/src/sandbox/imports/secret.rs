//! `secret`: what the operator keeps elsewhere than in the configuration.

use super::Capability;
use crate::sandbox::offer::Offer;

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    offer.capability(Capability::Secret)?.func("get", |cx, (name,): (Box<str>,)| {
        let secrets = &cx.data().backing.rights.secrets;
        Ok((secrets.get(&*name).map(|secret| secret.to_vec()),))
    })
}
