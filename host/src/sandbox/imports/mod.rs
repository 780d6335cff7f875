//! What a plugin can be granted, one file per capability (`wit/capabilities.wit`). Everything here is linked into every guest; what a plugin
//! may import is decided by the operator before it runs, and which names it may use is looked up in its [`Rights`] at each call.

mod clock;
mod http;
mod kv;
mod log;
mod metrics;
mod random;
mod rights;
mod secret;
mod tracing;

pub use http::{Answering, Errand, ErrandError, Errands};
pub use rights::{Capability, Rights};

use super::offer::Offer;

/// Links every capability. `waits`: for guests on a stack of their own, which may wait for stores and upstreams; others get an error from
/// what would have to.
pub(super) fn link(offer: &mut Offer<'_>, waits: bool) -> wasmtime::Result<()> {
    log::link(offer)?;
    clock::link(offer)?;
    random::link(offer)?;
    secret::link(offer)?;
    metrics::link(offer)?;
    tracing::link(offer)?;
    kv::link(offer, waits)?;
    http::link(offer, waits)
}
