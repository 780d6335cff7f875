//! `[acme]` and `tls = { acme = … }`: from whom certificates are ordered, as whom, and how a name is proved.

use super::Location;
use std::fmt;
use std::path::PathBuf;

/// How a site's certificate is ordered (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSpec {
    pub challenge: AcmeChallenge,
    pub issuer: AcmeIssuer,
    /// Where ACME is asked for, or the site's name where it is implied.
    pub at: Location,
}

/// How the CA is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AcmeChallenge {
    /// A file on port 80 (RFC 8555, section 8.3).
    #[default]
    Http01,
    /// A handshake on port 443 (RFC 8737).
    TlsAlpn01,
}

/// A certification authority and our account there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AcmeIssuer {
    /// Its directory's URL, https.
    pub directory: String,
    /// E-mail addresses, without `mailto:`.
    pub contact: Vec<String>,
    pub eab: Option<AcmeEab>,
    /// PEM with the roots that the directory's own certificate is checked against; the system's unless written.
    pub ca: Option<(PathBuf, Location)>,
}

/// External account binding (RFC 8555, section 7.3.4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AcmeEab {
    pub kid: String,
    /// The MAC key, decoded.
    pub key: Vec<u8>,
}

impl AcmeIssuer {
    pub const PRODUCTION: &'static str = "https://acme-v02.api.letsencrypt.org/directory";
    pub const STAGING: &'static str = "https://acme-staging-v02.api.letsencrypt.org/directory";
}

impl Default for AcmeIssuer {
    fn default() -> Self {
        Self { directory: Self::PRODUCTION.into(), contact: Vec::new(), eab: None, ca: None }
    }
}

impl fmt::Debug for AcmeEab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcmeEab {{ kid: {:?}, key: {} bytes }}", self.kid, self.key.len())
    }
}

impl AcmeChallenge {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}
