//! `[listen]`: which addresses are bound.

use super::{LinkSpec, Location};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Addresses as meant: the defaults (`0.0.0.0` and `[::]`, ports 80 and 443) are already filled in where nothing was written,
/// and only where a site needs them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenSpec {
    /// TLS listeners; serve the sites whose `tls` is not `"off"`.
    pub https: Vec<(ListenAddress, Option<Location>)>,
    /// Plain listeners; serve the sites with `tls = "off"` and redirect the others to https.
    pub http: Vec<(ListenAddress, Option<Location>)>,
    /// Links that decide about the connections of all of them.
    pub chain: Vec<LinkSpec>,
    /// Who must say in a PROXY header for whom it connects. Nobody else can.
    pub proxy_protocol: Peers,
}

/// Where connections are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Ip(SocketAddr),
    /// `unix:/path`
    Unix {
        path: PathBuf,
        /// Permissions of the socket's file.
        mode: u32,
    },
}

impl ListenAddress {
    /// Of a socket's file unless `?mode=` says otherwise: owner and group may connect.
    pub const MODE: u32 = 0o660;

    /// `None`: a Unix socket.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }

    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Networks, and whether whoever comes over a Unix socket belongs to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    pub networks: Vec<IpNet>,
    pub unix: bool,
}

impl Peers {
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// `None`: over a Unix socket.
    pub fn include(&self, peer: Option<IpAddr>) -> bool {
        match peer.map(|peer| peer.to_canonical()) {
            None => self.unix,
            Some(peer) => self.networks.iter().any(|network| network.contains(&peer)),
        }
    }
}

impl ListenSpec {
    /// Where requests in the clear for a site with TLS are sent: the port of the first TLS listener that has one.
    pub fn https_port(&self) -> u16 {
        self.https.iter().find_map(|(address, _)| address.port()).unwrap_or(443)
    }
}
