//! The plugins in the binary: ordinary components, built from `plugins/` by `build.rs`. Knows their bytes and their rights, not how to run them.

use super::Capability;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The component of this name.
pub fn bundled(name: &str) -> Option<&'static [u8]> {
    BUNDLED.iter().find(|(bundled, _)| *bundled == name).map(|(_, component)| *component)
}

/// Their names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name)
}

/// What this binary grants a plugin of its own; all others are granted what the operator writes, which is nothing at first. Of stores and
/// upstreams a link may use those that its settings name, and the local store.
pub const fn rights(name: &str) -> &'static [Capability] {
    use Capability::{Clock, HttpClient, Kv, Log, Metrics};
    match name.as_bytes() {
        b"rate-limit" => &[Log, Metrics, Kv],
        b"jwt" => &[Log, Clock, Kv, HttpClient],
        b"bot-challenge" => &[Clock],
        b"forward-auth" => &[Log, Kv, HttpClient],
        _ => &[],
    }
}

/// The store of this process that bundled plugins may use. No store of a configuration can be called so.
pub const LOCAL_STORE: &str = "(local)";

#[cfg(test)]
mod tests;
