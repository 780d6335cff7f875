//! `[upstream.x]`: a named set of servers.

use super::{CertifiedFiles, Location, PluginName};
use std::fmt;
use std::path::PathBuf;

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
    /// Beside `servers`: where each is written.
    pub servers_at: Vec<Location>,
    pub balance: Balance,
    /// Idle connections kept per server and worker. `None`: [`super::Limits::pool_idle`].
    pub pool_idle: Option<usize>,
    /// `None`: in the clear.
    pub tls: Option<UpstreamTls>,
    /// `None`: connections begin with no PROXY header.
    pub proxy_protocol: Option<ProxyVersion>,
    pub at: Location,
}

impl UpstreamSpec {
    /// Servers in the clear, with everything else as it is when nothing is written.
    pub fn plain(servers: Vec<ServerAddress>, at: Location) -> Self {
        let servers_at = vec![at.clone(); servers.len()];
        Self { servers, servers_at, balance: Balance::default(), pool_idle: None, tls: None, proxy_protocol: None, at }
    }

    /// Those of its servers that are components, and where each is written.
    pub fn components(&self) -> impl Iterator<Item = (&Component, &Location)> {
        self.servers.iter().zip(&self.servers_at).filter_map(|(server, at)| match server {
            ServerAddress::Component(component) => Some((component, at)),
            ServerAddress::Tcp { .. } | ServerAddress::Unix(_) => None,
        })
    }
}

/// `tls` of `[upstream.x]` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM with the certificates that are trusted. `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Revocation lists, PEM or DER, with the place of the value.
    pub crl: Option<(PathBuf, Location)>,
    /// Whether the server must prove who it is.
    pub verify: bool,
    /// The name (or IP address) that the server's certificate must have. `None`: the one in the server's address.
    pub name: Option<String>,
    /// The name that is asked for. `None`: as `name`, or the one in the server's address; none is sent for an IP address.
    pub sni: Option<String>,
    /// What we show a server that asks for it.
    pub client: Option<CertifiedFiles>,
    pub at: Location,
}

/// Of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text with addresses.
    V1,
    /// Binary, with what is known of TLS besides.
    V2,
}

/// Where a server is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerAddress {
    /// `host:port`. A name is resolved by the system when a connection is made.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
    /// `component:…`, in this process.
    Component(Component),
}

/// A component for wasi:http that answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// `component:name`, of `[plugin.name]`.
    Declared(PluginName),
    /// `component:path/to/service.wasm`
    File(PathBuf),
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(name) => write!(f, "component:{name}"),
            Self::File(path) => write!(f, "component:{}", path.display()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Component(component) => component.fmt(f),
        }
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
