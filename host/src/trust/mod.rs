//! Where a plugin's bytes come from, and whether they are what the operator meant: artefacts of registries, kept by digest, and
//! signatures. Knows nothing of what is in a component.
//!
//! In reading order: `artefact` (what registries hold: manifests and layers), `registry` and `credentials` (asking one), `shelf` (what was fetched
//! is kept), `fetch` (both together, with patience), `signature`.

mod artefact;
mod credentials;
mod fetch;
mod registry;
mod shelf;
mod signature;

pub use artefact::{Artefact, Label, Unreadable};
pub use fetch::{FetchError, fetch, fetch_all, kept, push};
pub use registry::RegistryError;
pub use shelf::{Shelf, ShelfError};
pub use signature::{SignatureError, Signed, beside, glance, read as signature_in, verify};

/// Bytes of a component or of a layer that one is in. A Python or JavaScript engine with its program has 10 to 30 MiB.
const LARGEST: usize = 64 << 20;

/// SHA-256.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
