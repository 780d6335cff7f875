//! `wasi:filesystem`: no directories are open, so there is no handle to call anything with.

use crate::sandbox::offer::Offer;
use wasmtime::component::Resource;

struct Descriptor;
struct DirectoryEntryStream;

/// Everything that needs a descriptor.
const METHODS: &[&str] = &[
    "[method]descriptor.read-via-stream",
    "[method]descriptor.write-via-stream",
    "[method]descriptor.append-via-stream",
    "[method]descriptor.advise",
    "[method]descriptor.sync-data",
    "[method]descriptor.get-flags",
    "[method]descriptor.get-type",
    "[method]descriptor.set-size",
    "[method]descriptor.set-times",
    "[method]descriptor.read",
    "[method]descriptor.write",
    "[method]descriptor.read-directory",
    "[method]descriptor.sync",
    "[method]descriptor.create-directory-at",
    "[method]descriptor.stat",
    "[method]descriptor.stat-at",
    "[method]descriptor.set-times-at",
    "[method]descriptor.link-at",
    "[method]descriptor.open-at",
    "[method]descriptor.readlink-at",
    "[method]descriptor.remove-directory-at",
    "[method]descriptor.rename-at",
    "[method]descriptor.symlink-at",
    "[method]descriptor.unlink-file-at",
    "[method]descriptor.is-same-object",
    "[method]descriptor.metadata-hash",
    "[method]descriptor.metadata-hash-at",
    "[method]directory-entry-stream.read-directory-entry",
    // Needs an error, and no stream makes one.
    "filesystem-error-code",
];

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut types = offer.interface("wasi:filesystem/types")?;
    types.resource::<Descriptor>("descriptor")?;
    types.resource::<DirectoryEntryStream>("directory-entry-stream")?;
    for method in METHODS {
        types.unreachable(method)?;
    }
    let mut preopens = offer.interface("wasi:filesystem/preopens")?;
    preopens.func("get-directories", |_, ()| Ok((Vec::<(Resource<Descriptor>, String)>::new(),)))
}
