//! `[server]`: what concerns the process as a whole.

use super::{Location, Peers};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// `[server]` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Worker threads. `None`: one per core that the process may use.
    pub workers: Option<std::num::NonZeroUsize>,
    /// Where the local CA, certificates and compiled plugins are kept (owner-only). `None`: the platform's place, see `app`.
    pub state: Option<PathBuf>,
    /// A directory of session ticket keys for several processes, and where it is written. `None`: keys are in memory only.
    pub ticket_keys: Option<(PathBuf, Location)>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed. Empty: nobody's.
    pub trusted_proxies: Peers,
    pub access_log: AccessLog,
    pub access_rules: Arc<AccessRules>,
    /// Who is asked for addresses of servers. Empty: whom `/etc/resolv.conf` names.
    pub resolver: Vec<SocketAddr>,
    /// Where this machine is. `None`: nobody says.
    pub zone: Option<String>,
    /// Whether files of the configuration that change are taken over without being asked for.
    pub watch: bool,
}

impl Default for ServerSpec {
    fn default() -> Self {
        Self {
            workers: None,
            state: None,
            ticket_keys: None,
            trusted_proxies: Peers::default(),
            access_log: AccessLog::default(),
            access_rules: Arc::default(),
            resolver: Vec::new(),
            zone: None,
            watch: true,
        }
    }
}

/// How exchanges are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    Off,
    #[default]
    Text,
    Json,
    /// With the names of the Elastic Common Schema.
    Ecs,
    /// With those of OpenTelemetry's semantic conventions.
    Otel,
}

impl AccessLog {
    /// As it is written.
    pub const NAMES: [&'static str; 5] = ["off", "text", "json", "ecs", "otel"];
    const ALL: [Self; 5] = [Self::Off, Self::Text, Self::Json, Self::Ecs, Self::Otel];

    /// By its place among the names.
    pub(super) fn numbered(index: usize) -> Self {
        Self::ALL.get(index).copied().unwrap_or_default()
    }

    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Which exchanges are written, and what of them is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRules {
    /// Percent of those that ended as they should; all others are written.
    pub sample: u8,
    /// Names of query parameters, and of links' attributes, whose values are not written, beside those that usually are secrets; lower case.
    pub mask: Vec<String>,
}

impl Default for AccessRules {
    fn default() -> Self {
        Self { sample: 100, mask: Vec::new() }
    }
}
