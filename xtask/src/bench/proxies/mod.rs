//! The proxies that can be compared, each with its configuration for a scenario.
//!
//! For all alike: one worker, no access log, idle timeouts of 600 s, upstream keep-alive of at least 512.

mod haproxy;
mod nginx;
mod portcullis;
mod stream;
mod variant;

use super::packages;
use super::scenario::Scenario;
use super::trouble::Trouble;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use variant::Variant;

/// A column of the tables.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub name: String,
    pub kind: Kind,
    /// As given on the command line. `None`: ours is built, others are Debian's.
    pub binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Portcullis,
    Nginx,
    Haproxy,
}

/// Everything that a configuration is made of.
pub struct Setup<'a> {
    pub scenario: &'static Scenario,
    pub variant: Variant,
    /// What will be started with it.
    pub binary: &'a Path,
    /// A folder of this process's own.
    pub dir: &'a Path,
    pub http: u16,
    pub https: u16,
    pub origin: u16,
    pub cert: &'a Path,
    pub key: &'a Path,
    /// Compiled plugins are kept here from start to start.
    pub state: &'a Path,
    /// Where `tag.wasm` is.
    pub guests: &'a Path,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Portcullis => "portcullis",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// Of `nginx` and of `nginx-LABEL`.
    pub fn of(name: &str) -> Option<Self> {
        let kind = name.split_once('-').map_or(name, |(kind, _)| kind);
        [Self::Portcullis, Self::Nginx, Self::Haproxy].into_iter().find(|known| known.name() == kind)
    }

    /// Writes the configuration and returns the arguments to start with.
    pub fn configure(self, setup: &Setup) -> Result<Vec<OsString>, Trouble> {
        let file = match self {
            Self::Portcullis => write(setup.dir.join("portcullis.toml"), portcullis::configuration(setup))?,
            Self::Nginx => write(setup.dir.join("nginx.conf"), nginx::configuration(setup))?,
            Self::Haproxy => {
                write(setup.dir.join("both.pem"), fs::read_to_string(setup.cert)? + &fs::read_to_string(setup.key)?)?;
                write(setup.dir.join("routes.map"), haproxy::map(setup))?;
                write(setup.dir.join("haproxy.cfg"), haproxy::configuration(setup))?
            }
        };
        Ok(match self {
            Self::Portcullis => vec!["run".into(), file.into()],
            Self::Nginx => vec!["-c".into(), file.into(), "-p".into(), setup.dir.into(), "-e".into(), setup.dir.join("error.log").into()],
            Self::Haproxy => vec!["-f".into(), file.into()],
        })
    }

    /// One line.
    pub fn version(self, binary: &Path) -> String {
        let output = Command::new(binary).arg(if self == Self::Portcullis { "--version" } else { "-v" }).output();
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().next().unwrap_or("?").trim_start_matches("nginx version: ").to_owned()
    }
}

impl Proxy {
    /// What is started for a scenario. nginx may have to be another one for the TCP corridor, see [`stream`]. `dir` is for a trial.
    pub fn program(&self, ours: &Path, scenario: &Scenario, dir: &Path) -> Result<PathBuf, Trouble> {
        let binary = self.binary(ours)?;
        if self.kind != Kind::Nginx || !scenario.tunnel() || stream::prelude(&binary, dir).is_some() {
            return Ok(binary);
        }
        let debian = packages::find(self.kind.name()).filter(|debian| stream::prelude(debian, dir).is_some());
        debian.ok_or_else(|| Trouble::Machine(format!("{} has no stream module, and Debian's nginx has none either", binary.display())))
    }

    /// `ours` is what was built.
    pub fn binary(&self, ours: &Path) -> Result<PathBuf, Trouble> {
        match (&self.binary, self.kind) {
            (Some(path), _) => Ok(path.clone()),
            (None, Kind::Portcullis) => Ok(ours.to_owned()),
            (None, kind) => packages::find(kind.name()).ok_or_else(|| Trouble::Machine(format!("{} is not installed", kind.name()))),
        }
    }
}

fn write(path: PathBuf, text: String) -> Result<PathBuf, Trouble> {
    fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_does_not_change_the_kind() {
        assert_eq!(Kind::of("portcullis-old-build"), Some(Kind::Portcullis));
        assert_eq!(Kind::of("haproxy"), Some(Kind::Haproxy));
        assert_eq!(Kind::of("nginxplus"), None);
    }
}
