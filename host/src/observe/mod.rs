//! What an operator sees: one access line per exchange and per tunnel, the log, and numbers. Measures and decides nothing.
//!
//! Numbers, in reading order: `numbers` (what a thread writes and another reads), `tally` (what a worker counts), `metrics` (what plugins count),
//! `registry` (all of them), `process`, `exposition` (how they are written). Traces: `tracer` (what is told of an exchange). `otlp`: where all of these go, and lines of logs.

pub mod access;
mod escape;
mod exposition;
mod line;
mod log;
mod mask;
pub mod metrics;
mod numbers;
pub mod otlp;
mod parts;
mod process;
mod rate_cap;
mod recent;
mod registry;
mod tally;
mod tracer;
mod tunnel_line;
mod vocabulary;

pub use exposition::{Exposition, Family, FamilyKind, Format, Told};
pub use line::Entry;
pub use log::{log_also_to, log_filter, set_log_filter, start_log};
pub use numbers::{Counter, Gauge, Times};
pub use rate_cap::RateCap;
pub use recent::{Recent, Refusal};
pub use registry::{Registry, RouteSum, Shown, UpstreamSum};
pub use tally::{ConnectionTally, ExportTallies, ExportTally, Handshakes, Named, Over, RouteTally, UpstreamTally, WorkerTally};
pub use tracer::{Traced, Tracer, pass_on};
pub use tunnel_line::TunnelEntry;
