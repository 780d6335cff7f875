//! Files that change while they are in use: looked at every few seconds, read and checked as at start, and put in the place of what they
//! held before. What is wrong is told once, and the old stays.
//!
//! By asking for the files' times and not by inotify: it works over network file systems and bind mounts, and a path that leads
//! through symbolic links (certbot's `live`, Kubernetes' `..data`) changes when any of them does.

use super::problem::CertProblem;
use crate::config::FileStamp;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use time::OffsetDateTime;

/// Looks at files in use.
pub struct Watch {
    watched: Vec<Watched>,
    /// Called when something has taken over new names.
    renamed: Box<dyn Fn() + Send>,
}

/// Something that is made of files.
pub(super) trait MadeOfFiles: Send {
    /// What it is, and whose: `("certificate of", "`a.test`")`. Those of one kind with the same to say share a line of the log.
    fn name(&self) -> (&'static str, String);

    /// The same ones each time.
    fn files(&self) -> Vec<&Path>;

    /// Reads the files and puts what they hold in the place of the old. `Err`: nothing has changed.
    fn read_again(&self, now: OffsetDateTime) -> Result<Taken, Vec<CertProblem>>;
}

/// What was taken over.
pub(super) struct Taken {
    /// What it means for connections.
    pub said: String,
    pub warnings: Vec<CertProblem>,
    /// It has other names than the one before.
    pub renamed: bool,
}

/// One thing that is made of files.
pub(super) struct Watched {
    what: Box<dyn MadeOfFiles>,
    /// What was last read.
    used: Stamp,
    /// What was last seen.
    seen: Stamp,
}

/// What differs when a file does.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<FileStamp>>);

impl Watch {
    /// How often to look. A change is used once it has been the same for two looks, so that a certificate is not read before its key is
    /// there too: after two to four seconds.
    pub const PERIOD: Duration = Duration::from_secs(2);

    /// `None`: there is nothing to look at.
    pub(super) fn new(watched: Vec<Watched>, renamed: impl Fn() + Send + 'static) -> Option<Self> {
        (!watched.is_empty()).then(|| Self { watched, renamed: Box::new(renamed) })
    }

    /// Looks once, and takes over what has changed. Says so in one line for all that have the same to say.
    pub fn look(&mut self) {
        let (mut renamed, mut said) = (false, BTreeMap::<_, Vec<String>>::new());
        for watched in &mut self.watched {
            let Some(change) = watched.look(OffsetDateTime::now_utc()) else { continue };
            renamed |= change.as_ref().is_ok_and(|taken| taken.renamed);
            let (what, whose) = watched.what.name();
            said.entry((what, Said::of(change))).or_default().push(whose);
        }
        if renamed {
            (self.renamed)();
        }
        for ((what, said), all) in said {
            said.log(&format!("{what} {}", all.join(", ")));
        }
    }
}

/// What became of changed files.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Taken(String),
    /// Taken over with these warnings.
    Doubtful(String),
    Refused(String),
}

impl Said {
    fn of(change: Result<Taken, Vec<CertProblem>>) -> Self {
        match change {
            Ok(Taken { said, warnings, .. }) if warnings.is_empty() => Self::Taken(said),
            Ok(Taken { warnings, .. }) => Self::Doubtful(told(&warnings)),
            Err(problems) => Self::Refused(told(&problems)),
        }
    }

    fn log(&self, what: &str) {
        match self {
            Self::Taken(said) => tracing::info!("{what}: read again, {said}"),
            Self::Doubtful(warnings) => tracing::warn!("{what}: read again, but {warnings}"),
            Self::Refused(problems) => tracing::error!("{what}: the files have changed, but the old one is kept: {problems}"),
        }
    }
}

impl Watched {
    /// `stamp`: of the files before they were read, so that what changed meanwhile is seen as a change.
    pub fn new(what: impl MadeOfFiles + 'static, stamp: Stamp) -> Self {
        Self { what: Box::new(what), used: stamp.clone(), seen: stamp }
    }

    /// What has changed since the last look, if it has settled.
    fn look(&mut self, now: OffsetDateTime) -> Option<Result<Taken, Vec<CertProblem>>> {
        let stamp = Stamp::of(&self.what.files());
        let settled = self.seen == stamp;
        self.seen = stamp;
        if !settled || self.seen == self.used {
            return None;
        }
        self.used = self.seen.clone();
        Some(self.what.read_again(now))
    }
}

/// In one line.
fn told(problems: &[CertProblem]) -> String {
    let all: Vec<String> = problems.iter().map(|problem| format!("{} ({})", problem.message, problem.code)).collect();
    all.join("; ")
}

impl Stamp {
    pub fn of(files: &[&Path]) -> Self {
        Self(files.iter().map(|path| FileStamp::of(path)).collect())
    }
}

#[cfg(test)]
mod tests;
