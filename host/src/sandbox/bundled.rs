//! The plugins in the binary: ordinary components, built from `plugins/` by `build.rs`. Knows their bytes, not how to run them.

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The component of this name.
pub fn bundled(name: &str) -> Option<&'static [u8]> {
    BUNDLED.iter().find(|(bundled, _)| *bundled == name).map(|(_, component)| *component)
}

/// Their names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests;
