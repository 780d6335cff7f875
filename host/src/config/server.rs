//! `[server]`: what concerns the process as a whole.

use super::{Location, Peers};
use std::path::PathBuf;

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
}
