//! Certificate files that change while they are in use: looked at every few seconds, read and checked as at start, and put in the
//! place of the old certificate. What is wrong is told once, and the old one stays.
//!
//! By asking for the files' times and not by inotify: it works over network file systems and bind mounts, and a path that leads
//! through symbolic links (certbot's `live`, Kubernetes' `..data`) changes when any of them does.

use super::files::{self, Certified};
use super::problem::CertProblem;
use super::store::{Source, Store};
use crate::config::{CertifiedFiles, SiteName};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// Looks at the files of a store's sites.
pub struct Watch {
    store: Arc<Store>,
    watched: Vec<Watched>,
}

/// The files of one site.
pub(super) struct Watched {
    files: CertifiedFiles,
    site: SiteName,
    source: Arc<Source>,
    /// What was last read.
    used: Stamp,
    /// What was last seen.
    seen: Stamp,
}

/// What differs when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([Option<FileStamp>; 3]);

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    place: (u64, u64),
    size: u64,
    /// Of the contents and of the inode: the second cannot be set back.
    times: [(i64, i64); 2],
}

impl Watch {
    /// How often to look. A change is used once it has been the same for two looks, so that a certificate is not read before its key is
    /// there too: after two to four seconds.
    pub const PERIOD: Duration = Duration::from_secs(2);

    pub(super) fn new(store: Arc<Store>, watched: Vec<Watched>) -> Self {
        Self { store, watched }
    }

    /// Looks once, and takes over what has changed.
    pub fn look(&mut self) {
        let mut renamed = false;
        for watched in &mut self.watched {
            renamed |= watched.look(OffsetDateTime::now_utc());
        }
        if renamed {
            self.store.reindex();
        }
    }
}

impl Watched {
    pub fn new(files: CertifiedFiles, site: SiteName, source: Arc<Source>, stamp: Stamp) -> Self {
        Self { files, site, source, used: stamp, seen: stamp }
    }

    /// Whether a certificate with other names was taken over.
    fn look(&mut self, now: OffsetDateTime) -> bool {
        let stamp = Stamp::of(&self.files);
        let settled = std::mem::replace(&mut self.seen, stamp) == stamp;
        if !settled || stamp == self.used {
            return false;
        }
        self.used = stamp;
        match files::load(&self.files, &self.site, now) {
            Ok((certified, warnings)) => self.take(certified, &warnings),
            Err(problems) => {
                let (site, problems) = (&self.site, told(&problems));
                tracing::error!("certificate of `{site}`: the files have changed, but the old one is kept: {problems}");
                false
            }
        }
    }

    fn take(&self, certified: Certified, warnings: &[CertProblem]) -> bool {
        let Source::Files(current) = &*self.source else { return false };
        let (site, ends) = (&self.site, certified.coverage.not_after);
        match warnings {
            [] => tracing::info!("certificate of `{site}`: read again, new connections get the one that ends on {}", ends.date()),
            warnings => tracing::warn!("certificate of `{site}`: read again, but {}", told(warnings)),
        }
        let old = current.swap(Arc::new(certified));
        old.coverage.dns != current.load().coverage.dns
    }
}

/// In one line.
fn told(problems: &[CertProblem]) -> String {
    let all: Vec<String> = problems.iter().map(|problem| format!("{} ({})", problem.message, problem.code)).collect();
    all.join("; ")
}

impl Stamp {
    pub fn of(files: &CertifiedFiles) -> Self {
        Self([file_stamp(&files.cert), file_stamp(&files.key), files.ocsp.as_deref().and_then(file_stamp)])
    }
}

/// Of what the path leads to; `None` if it leads nowhere.
fn file_stamp(path: &Path) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    let times = [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())];
    Some(FileStamp { place: (found.dev(), found.ino()), size: found.size(), times })
}

#[cfg(test)]
mod tests;
