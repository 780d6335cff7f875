//! (being built)

pub mod bundled;
