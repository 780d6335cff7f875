//! `[plugin.x]`: code, rights and limits.

use super::{Location, Reference, SigningKey, StoreName, UpstreamName};
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    pub source: PluginSource,
    /// SHA-256 of the file, if pinned.
    pub sha256: Option<[u8; 32]>,
    /// One of these must have signed it; nobody needs to if there are none.
    pub signed_by: Vec<SigningKey>,
    /// Where the signature is, if not beside the file or with the artefact.
    pub signature: Option<PathBuf>,
    pub limits: GuestLimits,
    /// `None`: not written.
    pub isolation: Option<Isolation>,
    /// Whether decisions may be remembered where that makes no difference.
    pub remember: bool,
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
    /// An artefact of a registry. What counts is the digest, which is that of its manifest.
    Registry { reference: Reference, digest: [u8; 32] },
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

impl GuestLimits {
    /// Of a bundled plugin unless it is written: what its work needs where the usual is too little. Those that wait have timeouts of their own, and
    /// must see them pass to do something about it.
    pub fn of_bundled(name: &str) -> Self {
        let (usual, long) = (Self::default(), Duration::from_secs(60));
        match name {
            "rate-limit" | "forward-auth" => Self { time: long, ..usual },
            // A signature or two.
            "jwt" => Self { time: long, cpu: Duration::from_millis(50), ..usual },
            // A hash that is slow on purpose; a block of text at the highest level.
            "basic-auth" | "compress" => Self { cpu: Duration::from_millis(100), ..usual },
            // Half a million networks, read once.
            "geo-header" => Self { cpu: Duration::from_secs(2), memory: 128 << 20, ..usual },
            _ => usual,
        }
    }

    /// Of a service, where none are written: it does a whole request's work in one go, and its time is the proxy's own timeouts'.
    pub const SERVICE: Self = Self { memory: 64 << 20, cpu: Duration::from_millis(500), time: Duration::MAX };
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
    /// A fresh guest, or one set back to what settings made of it, for every exchange, and for every connection in a listener's chain, kept until
    /// its last phase.
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
