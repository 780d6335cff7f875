//! What an operator sees: one access line per exchange and per tunnel, the log, and numbers. Measures and decides nothing.
//!
//! Numbers, in reading order: `numbers` (what a thread writes and another reads), `tally` (what a worker counts), `metrics` (what plugins count),
//! `registry` (all of them), `process`, `exposition` (how they are written).

pub mod access;
mod escape;
mod exposition;
mod line;
mod log;
mod mask;
pub mod metrics;
mod numbers;
mod parts;
mod process;
mod rate_cap;
mod registry;
mod tally;
mod tunnel_line;
mod vocabulary;

pub use exposition::{Exposition, Family, FamilyKind, Format};
pub use line::Entry;
pub use log::start_log;
pub use numbers::{Counter, Gauge};
pub use rate_cap::RateCap;
pub use registry::{Registry, Shown};
pub use tally::{ConnectionTally, Handshakes, Named, Over, RouteTally, UpstreamTally, WorkerTally};
pub use tunnel_line::TunnelEntry;
