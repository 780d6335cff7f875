//! Whether a file is still the one that was read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What differs when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    place: (u64, u64),
    size: u64,
    /// Of the contents and of the inode: the second cannot be set back.
    times: [(i64, i64); 2],
}

impl FileStamp {
    /// Of what the path leads to; `None` if it leads nowhere.
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let times = [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())];
        Some(Self { place: (found.dev(), found.ino()), size: found.size(), times })
    }
}
