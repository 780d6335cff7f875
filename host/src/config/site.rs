//! `[site."name"]`.

use super::{AcmeSpec, Location, Route};
use std::fmt;
use std::path::PathBuf;

/// A host name, or several, with its routes.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// What it goes by.
    pub name: SiteName,
    /// What it answers to as well.
    pub aliases: Vec<SiteName>,
    pub tls: TlsSpec,
    /// `None`: clients are not asked who they are.
    pub client: Option<ClientCertSpec>,
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

impl Site {
    /// What it answers to, its own name first.
    pub fn names(&self) -> impl Iterator<Item = &SiteName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// How well it answers to a host (in normal form, without port), by the name that fits best; see [`SiteName::fit`].
    pub fn fit(&self, host: &str) -> Option<usize> {
        self.names().filter_map(|name| name.fit(host)).max()
    }
}

impl SiteName {
    /// As the key of `[site."…"]` is read.
    pub fn read(text: &str) -> Result<Self, String> {
        super::forms::site_name(text).map_err(|wrong| wrong.message)
    }

    /// How well it fits a host, `None`: not at all. The more specific name has more; no two names that fit one host have as much.
    pub fn fit(&self, host: &str) -> Option<usize> {
        match self {
            Self::Exact(name) => (name == host).then_some(usize::MAX),
            Self::Wildcard(suffix) => {
                host.strip_suffix(suffix.as_str()).is_some_and(|front| front.ends_with('.')).then_some(1 + suffix.len())
            }
            Self::Any => Some(0),
        }
    }

    /// Whether it is `localhost`, below `localhost`, `test` or `internal`, or an address: no public CA would certify it.
    pub fn is_local(&self) -> bool {
        let (Self::Exact(name) | Self::Wildcard(name)) = self else { return false };
        let below = |last: &str| name == last || name.strip_suffix(last).is_some_and(|rest| rest.ends_with('.'));
        self.is_address() || ["localhost", "test", "internal"].into_iter().any(below)
    }

    /// Whether it is an IP address.
    pub fn is_address(&self) -> bool {
        matches!(self, Self::Exact(name) if name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok())
    }
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
    /// Ordered from a CA, renewed before it ends.
    Acme(AcmeSpec),
}

/// A certificate chain and its key, both PEM, leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// An OCSP response in DER, to be stapled.
    pub ocsp: Option<PathBuf>,
    /// Of the `cert` value: for E020 to E022, and for E025 of its file.
    pub at: Location,
    /// Of the `key` value: for E025 of its file.
    pub key_at: Location,
}

/// Which clients a site takes, and what its upstream hears of them. Says nothing of where the site's own certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertSpec {
    /// PEM; each certificate in it is trusted on its own.
    pub ca: PathBuf,
    /// Of the `ca` value.
    pub ca_at: Location,
    /// Revocation lists, PEM or DER, with the place of the value.
    pub crl: Option<(PathBuf, Location)>,
    /// Without a certificate there is no connection; otherwise it only goes without an identity.
    pub require: bool,
    pub forward: Option<ClientCertForward>,
}

/// How an upstream is told who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertForward {
    /// `Client-Cert` and `Client-Cert-Chain`.
    Rfc9440,
    /// Envoy's `X-Forwarded-Client-Cert`.
    Xfcc,
}
