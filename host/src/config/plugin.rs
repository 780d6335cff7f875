//! `[plugin.x]`: code, rights and limits.

use super::{Location, StoreName, UpstreamName};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The `x` of `[plugin.x]`: lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName(pub String);

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[plugin.x]` as meant.
#[derive(Debug, Clone)]
pub struct PluginSpec {
    pub source: PluginSource,
    /// SHA-256 of the file, if pinned.
    pub sha256: Option<[u8; 32]>,
    pub limits: GuestLimits,
    pub isolation: Isolation,
    pub fail: FailurePolicy,
    pub breaker: BreakerSpec,
    pub allow: Allow,
    pub at: Location,
    /// Of `source`, `sha256` and `allow`, for E030 and E031.
    pub source_at: Location,
}

/// Where the component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// A `.wasm` file; relative paths are relative to the configuration file.
    Path(PathBuf),
    /// A component in the binary.
    Bundled(&'static str),
}

/// What a plugin may do beyond deciding: nothing unless it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    pub log: bool,
    pub clock: bool,
    pub random: bool,
    pub metrics: bool,
    pub tracing: bool,
    /// By name in `[secret]`.
    pub secret: BTreeSet<String>,
    pub kv: BTreeSet<StoreName>,
    /// Upstreams.
    pub http: BTreeSet<UpstreamName>,
}

/// What one guest may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestLimits {
    /// Linear memory, bytes.
    pub memory: usize,
    /// CPU per call.
    pub cpu: Duration,
    /// Per call of a plugin that waits, waiting included.
    pub time: Duration,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self { memory: 16 << 20, cpu: Duration::from_millis(5), time: Duration::from_secs(2) }
    }
}

/// How long a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// One guest per worker and settings, used again and again, replaced after a fault.
    #[default]
    Worker,
    /// A fresh guest for every exchange, and for every connection in a listener's chain, kept until its last phase.
    Request,
}

/// What becomes of an exchange whose guest faults, per cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailurePolicy {
    pub trap: FailPolicy,
    /// More memory than its limit.
    pub memory: FailPolicy,
    /// Output that breaks the contract.
    pub bad_output: FailPolicy,
    /// The CPU limit.
    pub timeout: FailPolicy,
    /// No guest to be had: too many at once.
    pub overload: FailPolicy,
}

/// When a link is left out for a while. Of each link and worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSpec {
    /// So many faults within `window`; 0: never.
    pub faults: u32,
    pub window: Duration,
    /// And so many of a hundred calls since the first of them.
    pub share: u32,
    /// For the first time; doubled while trials fail.
    pub pause: Duration,
}

impl Default for BreakerSpec {
    /// Twenty do not come by accident, and cost less together than a handshake. Half of the calls: whoever sends what traps a plugin must be
    /// most of its traffic before others are refused. Half a second is over before a client tries again.
    fn default() -> Self {
        Self { faults: 20, window: Duration::from_secs(10), share: 50, pause: Duration::from_millis(500) }
    }
}

/// Whether an exchange goes on after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailPolicy {
    /// It ends with a 5xx.
    #[default]
    Closed,
    /// It goes on as if the link had said `next` without edits.
    Open,
}
