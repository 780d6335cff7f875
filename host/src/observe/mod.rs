//! What an operator sees: one access line per exchange and per tunnel, and the log. Measures and decides nothing.

pub mod access;
mod escape;
mod line;
mod log;
pub mod metrics;
mod parts;
mod rate_cap;
mod tunnel_line;

pub use line::Entry;
pub use log::start_log;
pub use rate_cap::RateCap;
pub use tunnel_line::TunnelEntry;
