//! Certificate files that change while they are in use: looked at every few seconds, read and checked as at start, and put in the
//! place of the old certificate. What is wrong is told once, and the old one stays.
//!
//! By asking for the files' times and not by inotify: it works over network file systems and bind mounts, and a path that leads
//! through symbolic links (certbot's `live`, Kubernetes' `..data`) changes when any of them does.

use super::files::{self, Certified};
use super::problem::CertProblem;
use super::store::{Source, Store};
use crate::config::{CertifiedFiles, SiteName};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use time::{Date, OffsetDateTime};

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

    /// Looks once, and takes over what has changed. Says so in one line for all sites of the same files.
    pub fn look(&mut self) {
        let (mut renamed, mut said) = (false, BTreeMap::<Said, Vec<String>>::new());
        for watched in &mut self.watched {
            let Some(change) = watched.look(OffsetDateTime::now_utc()) else { continue };
            renamed |= change.renamed;
            said.entry(change.said).or_default().push(format!("`{}`", watched.site));
        }
        if renamed {
            self.store.reindex();
        }
        for (said, sites) in said {
            said.log(&sites.join(", "));
        }
    }
}

/// What became of a changed certificate.
struct Change {
    said: Said,
    /// It has other names than the one before.
    renamed: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    /// It ends on this day.
    Taken(Date),
    /// Taken over with these warnings.
    Doubtful(String),
    Refused(String),
}

impl Said {
    fn log(&self, sites: &str) {
        match self {
            Self::Taken(ends) => tracing::info!("certificate of {sites}: read again, new connections get the one that ends on {ends}"),
            Self::Doubtful(warnings) => tracing::warn!("certificate of {sites}: read again, but {warnings}"),
            Self::Refused(problems) => {
                tracing::error!("certificate of {sites}: the files have changed, but the old one is kept: {problems}")
            }
        }
    }
}

impl Watched {
    pub fn new(files: CertifiedFiles, site: SiteName, source: Arc<Source>, stamp: Stamp) -> Self {
        Self { files, site, source, used: stamp, seen: stamp }
    }

    /// What has changed since the last look, if it has settled.
    fn look(&mut self, now: OffsetDateTime) -> Option<Change> {
        let stamp = Stamp::of(&self.files);
        let settled = std::mem::replace(&mut self.seen, stamp) == stamp;
        if !settled || stamp == self.used {
            return None;
        }
        self.used = stamp;
        match files::load(&self.files, &self.site, now) {
            Ok((certified, warnings)) => self.take(certified, &warnings),
            Err(problems) => Some(Change { said: Said::Refused(told(&problems)), renamed: false }),
        }
    }

    fn take(&self, certified: Certified, warnings: &[CertProblem]) -> Option<Change> {
        let Source::Files(current) = &*self.source else { return None };
        let said = match warnings {
            [] => Said::Taken(certified.coverage.not_after.date()),
            warnings => Said::Doubtful(told(warnings)),
        };
        let old = current.swap(Arc::new(certified));
        Some(Change { said, renamed: old.coverage.dns != current.load().coverage.dns })
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
