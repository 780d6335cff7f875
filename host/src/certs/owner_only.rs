//! Files with keys in them: readable by their owner only, written whole or not at all.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file or directory that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = .path.display())]
pub struct DiskError {
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    pub fn new(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { path: path.into(), source }
    }
}

/// Makes a directory, with those above it, and closes it to others.
pub fn directory(path: &Path) -> Result<(), DiskError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700))).map_err(|error| DiskError::new(path, error))
}

/// Writes a file whole, replacing what is there.
pub fn publish(path: &Path, text: &str) -> Result<(), DiskError> {
    let temporary = write_aside(path, text)?;
    fs::rename(&temporary, path).map_err(|error| DiskError::new(path, error))
}

/// Writes a file whole unless another process was first.
pub fn publish_new(path: &Path, text: &str) -> Result<(), DiskError> {
    let temporary = write_aside(path, text)?;
    let linked = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and(removed).map_err(|error| DiskError::new(path, error)),
    }
}

/// A file next to `path`, with a name no other process or thread uses.
fn write_aside(path: &Path, text: &str) -> Result<PathBuf, DiskError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let unique = format!("tmp.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_extension(unique);
    let disk = |error| DiskError::new(temporary.clone(), error);
    // What a process with our id left behind when it died is of no use to anyone.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).map_err(disk)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(disk)?;
    Ok(temporary)
}
