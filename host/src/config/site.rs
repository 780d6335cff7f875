//! `[site."name"]`.

use super::{Location, Route};
use std::fmt;
use std::path::PathBuf;

/// A host name with its routes.
#[derive(Debug, Clone)]
pub struct Site {
    pub name: SiteName,
    pub tls: TlsSpec,
    /// In file order; see [`super::Route`] for precedence. Each carries its whole chain (server → site → route).
    pub routes: Vec<Route>,
    pub at: Location,
}

/// What a site answers to. Names are lower-case A-labels without a port or a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteName {
    /// `app.example.com`, `localhost`, `127.0.0.1`, `[::1]`.
    Exact(String),
    /// `*.example.com`, held as `example.com`: any number of labels in front, at least one; exact names win, then the longest.
    Wildcard(String),
    /// `*`: whatever no other site claims.
    Any,
}

impl fmt::Display for SiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Where a site's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSpec {
    /// Served in the clear on the http listeners.
    Off,
    /// A leaf of the local CA, made on first use.
    Local,
    /// PEM files.
    Files(CertifiedFiles),
}

/// A certificate chain and its key, both PEM, leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Of the `cert` value: for E020 to E022, and for E025 of its file.
    pub at: Location,
    /// Of the `key` value: for E025 of its file.
    pub key_at: Location,
}
