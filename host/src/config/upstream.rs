//! `[upstream.x]`: a named set of servers.

use super::Location;
use std::fmt;

/// The `x` of `[upstream.x]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(pub String);

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[upstream.x]` as meant.
#[derive(Debug, Clone)]
pub struct UpstreamSpec {
    /// At least one.
    pub servers: Vec<ServerAddress>,
    pub balance: Balance,
    /// Idle connections kept per server and worker. `None`: [`super::Limits::pool_idle`].
    pub pool_idle: Option<usize>,
    pub at: Location,
}

/// `host:port`. A name is resolved by the system when a connection is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerAddress {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The less busy of two picked at random.
    #[default]
    P2c,
    RoundRobin,
}
