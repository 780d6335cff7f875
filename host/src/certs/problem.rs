//! What can be wrong with a certificate, as data: the command line renders it next to the other configuration errors.

use crate::config::Location;
use std::fmt;

/// One thing that is wrong with a site's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertProblem {
    /// Stable; documented with the other configuration errors.
    pub code: &'static str,
    pub severity: Severity,
    /// Where the site names its certificate.
    pub at: Location,
    pub message: String,
    /// What would be right, if we know.
    pub help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be applied.
    Error,
    /// It works today.
    Warning,
}

impl CertProblem {
    /// The key does not belong to the certificate.
    pub const KEY_DIFFERS: &'static str = "E020";
    /// The site's name is not among the certificate's.
    pub const NOT_COVERED: &'static str = "E021";
    /// Over, not yet begun, or (as a warning) over soon.
    pub const VALIDITY: &'static str = "E022";
    /// A file of trusted certificates without one, no trusted certificates on this system, or a revocation list that is none.
    pub const CA_EMPTY: &'static str = "E023";
    /// A file that is missing, forbidden, not PEM, or without the part that is wanted.
    pub const UNREADABLE: &'static str = "E025";
    /// A directory of ticket keys, or a key in it, that cannot be used.
    pub const TICKET_KEYS: &'static str = "E029";
    /// The state directory, the local CA in it, or a leaf cannot be used.
    pub const LOCAL_CA: &'static str = "E027";
    /// ACME's part of the state directory, or the CA file for a directory, cannot be used.
    pub const ACME_STATE: &'static str = "E028";

    pub(super) fn error(code: &'static str, at: &Location, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, at: at.clone(), message: message.into(), help: None }
    }

    pub(super) fn warning(code: &'static str, at: &Location, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for CertProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "error" } else { "warning" };
        write!(f, "{severity}[{}] {}: {}", self.code, self.at, self.message)
    }
}
