//! What was fetched, kept in the state directory by its digest: `<state>/plugins/sha256-<digest>`. Owner-only; whatever the digest does not fit is
//! not there, so that nothing depends on who else could write here. What is here needs no registry any more.

use super::{digest, hex};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Manifests and layers; beyond this many, those that were not used for longest go. A plugin has two.
const MOST: usize = 512;

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ShelfError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Makes the directory if it is not there, closes it to others, and makes room.
    pub fn open(state: &Path) -> Result<Self, ShelfError> {
        let this = Self::at(state);
        let failed = |source| ShelfError { path: this.folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&this.folder).map_err(failed)?;
        fs::set_permissions(&this.folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        this.make_room();
        Ok(this)
    }

    /// The same for a look only: it need not be there.
    pub fn at(state: &Path) -> Self {
        Self { folder: state.join("plugins") }
    }

    /// What has this digest, at most `most` bytes.
    pub fn get(&self, wanted: &[u8; 32], most: usize) -> Option<Vec<u8>> {
        let path = self.of(wanted);
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(&path).ok()?;
        let mut bytes = Vec::new();
        (&file).take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() > most || digest(&bytes) != *wanted {
            tracing::warn!("{}: damaged, as if it were not there", path.display());
            return None;
        }
        // Used today: not the first to go. If it fails, it is fetched again some day.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// Written whole or not at all. Gives back its digest.
    pub fn put(&self, bytes: &[u8]) -> Result<[u8; 32], ShelfError> {
        let digest = digest(bytes);
        let path = self.of(&digest);
        let mut random = [0; 8];
        let _ = aws_lc_rs::rand::fill(&mut random);
        let temporary = self.folder.join(format!("{}.tmp", hex(&random)));
        let failed = |source| ShelfError { path: path.clone(), source };
        let written = write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map(|()| digest).map_err(failed)
    }

    fn of(&self, digest: &[u8; 32]) -> PathBuf {
        self.folder.join(format!("sha256-{}", hex(digest)))
    }

    /// Failing is no harm.
    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .filter(|(_, path)| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"sha256-")) || is_leftover(path))
            .collect();
        files.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        for (rank, (used, path)) in files.iter().enumerate() {
            let old = used.elapsed().is_ok_and(|age| age.as_secs() > 3600);
            if rank >= MOST || is_leftover(path) && old {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn is_leftover(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tmp")
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    // After a crash, a name with nothing behind it would only be fetched again; but then the registry may be away.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_by_digest_and_closed_to_others() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path()).expect("made");
        let digest = shelf.put(b"component").expect("kept");
        assert_eq!(shelf.get(&digest, 100).as_deref(), Some(&b"component"[..]));
        let folder = state.path().join("plugins");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&shelf.of(&digest))), (0o700, 0o600));
    }

    #[test]
    fn what_was_altered_or_cut_short_is_not_there() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path()).expect("made");
        let digest = shelf.put(b"component").expect("kept");
        for other in [&b"Component"[..], b"compo", b""] {
            fs::write(shelf.of(&digest), other).expect("written");
            assert_eq!(shelf.get(&digest, 100), None);
        }
        shelf.put(b"component").expect("kept again");
        assert_eq!(shelf.get(&digest, 8), None, "larger than wanted");
        assert!(shelf.get(&digest, 9).is_some());
        assert_eq!(shelf.get(&[7; 32], 9), None);
    }

    #[test]
    fn the_least_used_go_first() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path()).expect("made");
        let digests: Vec<_> = (0..=MOST).map(|n| shelf.put(n.to_string().as_bytes()).expect("kept")).collect();
        let long_ago = SystemTime::now() - std::time::Duration::from_secs(1000);
        File::open(shelf.of(&digests[3])).and_then(|file| file.set_modified(long_ago)).expect("changed");
        let shelf = Shelf::open(state.path()).expect("made");
        assert!(shelf.get(&digests[3], 9).is_none() && shelf.get(&digests[4], 9).is_some());
    }
}
