//! `[upstream.x]`: a named set of servers.

use super::{CertifiedFiles, Location, PluginName, show_duration};
use http::HeaderName;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The `x` of `[upstream.x]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(pub String);

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[upstream.x]` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// At least one.
    pub servers: Vec<UpstreamServer>,
    pub balance: Balance,
    /// `None`: clients do not stay with servers.
    pub sticky: Option<StickySpec>,
    /// Idle connections kept per server and worker. `None`: [`super::Limits::pool_idle`].
    pub pool_idle: Option<usize>,
    /// `None`: in the clear.
    pub tls: Option<UpstreamTls>,
    pub protocol: Protocol,
    /// `None`: connections begin with no PROXY header.
    pub proxy_protocol: Option<ProxyVersion>,
    /// `None`: nobody looks at the servers.
    pub health: Option<HealthSpec>,
    /// `None`: as many requests at once as come.
    pub limits: Option<LimitsSpec>,
    /// For so long the share of a server that is new, or came back, grows. `None`: it has its whole share at once.
    pub slow_start: Option<Duration>,
    /// Our own, if any server says in which it is: those of the same come first.
    pub zone: Option<String>,
    pub at: Location,
}

impl UpstreamSpec {
    /// Servers in the clear, with everything else as it is when nothing is written.
    pub fn plain(servers: Vec<ServerAddress>, at: Location) -> Self {
        let server = |address| UpstreamServer::plain(address, at.clone());
        let servers = servers.into_iter().map(server).collect();
        Self {
            servers,
            balance: Balance::default(),
            sticky: None,
            pool_idle: None,
            tls: None,
            protocol: Protocol::default(),
            proxy_protocol: None,
            health: None,
            limits: None,
            slow_start: None,
            zone: None,
            at,
        }
    }

    /// Those of its servers that are components, and where each is written.
    pub fn components(&self) -> impl Iterator<Item = (&Component, &Location)> {
        self.servers.iter().filter_map(|server| match &server.address {
            ServerAddress::Component(component) => Some((component, &server.at)),
            ServerAddress::Tcp { .. } | ServerAddress::Service { .. } | ServerAddress::Unix(_) => None,
        })
    }
}

/// One of an upstream's `servers` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    pub address: ServerAddress,
    /// Its share beside those of the others. At least 1.
    pub weight: u32,
    /// For plugins that choose servers; none twice.
    pub tags: Vec<String>,
    /// Servers of a higher number get requests when too few of those of lower ones are well.
    pub priority: u16,
    /// Where it is. `None`: elsewhere than we are.
    pub zone: Option<String>,
    /// What is written, if a look-up of that led to the address.
    pub found_by: Option<ServerAddress>,
    /// Its address of the other family, which is tried too where `address` does not answer at once.
    pub also: Option<IpAddr>,
    pub at: Location,
}

impl UpstreamServer {
    /// With everything else as it is when nothing is written.
    pub fn plain(address: ServerAddress, at: Location) -> Self {
        Self { address, weight: 1, tags: Vec::new(), priority: 0, zone: None, found_by: None, also: None, at }
    }

    /// Its address as it is written.
    pub fn written(&self) -> &ServerAddress {
        self.found_by.as_ref().unwrap_or(&self.address)
    }
}

impl fmt::Display for UpstreamServer {
    /// As an operator is shown it: what is not as usual stands behind the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(also) = self.also {
            write!(f, " (also {also})")?;
        }
        if self.weight != 1 {
            write!(f, " (weight {})", self.weight)?;
        }
        if self.priority != 0 {
            write!(f, " (priority {})", self.priority)?;
        }
        if let Some(zone) = &self.zone {
            write!(f, " (zone {zone})")?;
        }
        if !self.tags.is_empty() {
            write!(f, " [{}]", self.tags.join(" "))?;
        }
        Ok(())
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

/// `health` of `[upstream.x]` as meant: how servers are looked at while nobody asks them anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    pub look: Look,
    /// Between two looks at one server, ± 15 %.
    pub every: Duration,
    /// For one look.
    pub timeout: Duration,
    /// So many failures in a row make a server count as down, so many successes as up.
    pub down: u32,
    pub up: u32,
    /// Whether the proxy is not ready while all servers are down.
    pub ready: bool,
    pub at: Location,
}

impl HealthSpec {
    /// Every 10 s, as HAProxy and Envoy have it.
    pub fn new(look: Look, at: Location) -> Self {
        Self { look, every: Duration::from_secs(10), timeout: Duration::from_secs(2), down: 3, up: 2, ready: false, at }
    }
}

impl fmt::Display for HealthSpec {
    /// As an operator is shown it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.look {
            Look::Connect => f.write_str("connect")?,
            Look::Get { target, .. } => write!(f, "GET {target}")?,
            Look::Grpc { service, .. } if service.is_empty() => f.write_str("grpc")?,
            Look::Grpc { service, .. } => write!(f, "grpc {service}")?,
        }
        let (every, timeout) = (show_duration(self.every), show_duration(self.timeout));
        write!(f, " every {every}, within {timeout}; down after {}, up after {}", self.down, self.up)
    }
}

/// What is done to see whether a server is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A connection, with TLS if the upstream has it.
    Connect,
    /// The health service of gRPC, over HTTP/2.
    Grpc {
        /// Which of the server's services; empty: the server as a whole.
        service: String,
        /// `None`: the server's address.
        host: Option<String>,
    },
    Get {
        /// Path and query.
        target: String,
        /// `None`: the server's address.
        host: Option<String>,
        /// Statuses of a server that is well; empty: 200 to 399.
        expect: Vec<u16>,
    },
}

/// `limits` of `[upstream.x]` as meant. All workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsSpec {
    /// Requests and tunnels that run at once, of the upstream.
    pub running: Option<Running>,
    /// And of each server.
    pub per_server: Option<u32>,
    /// Connections that are open to each server, idle ones included.
    pub connections: Option<u32>,
    /// So many more wait.
    pub queue: u32,
    /// For so long.
    pub wait: Duration,
}

/// How many may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    Most(u32),
    /// As many as the upstream answers without becoming slow.
    Adaptive,
}

impl fmt::Display for LimitsSpec {
    /// As an operator is shown them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.running {
            Some(Running::Most(running)) => write!(f, "{running} at once, ")?,
            Some(Running::Adaptive) => f.write_str("as many at once as it bears (adaptive), ")?,
            None => {}
        }
        if let Some(per_server) = self.per_server {
            write!(f, "{per_server} on each server, ")?;
        }
        if let Some(connections) = self.connections {
            write!(f, "{connections} connections to each server, ")?;
        }
        write!(f, "{} wait for {}", self.queue, show_duration(self.wait))
    }
}

/// `sticky` of `[upstream.x]` as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickySpec {
    /// Its name.
    pub cookie: String,
    /// `None`: until the browser is closed.
    pub max_age: Option<Duration>,
}

/// What servers are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Unless something is written: it is what every server speaks, what protocols can be switched from, and one broken connection ends
    /// one request.
    #[default]
    Http1,
    /// And nothing else; in the clear without being asked (RFC 9113, section 3.3).
    Http2,
    /// Over TLS, HTTP/2 where the server chooses it (ALPN), else HTTP/1.1.
    Auto,
}

impl Protocol {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Auto => "auto",
        }
    }

    /// As an operator is shown it. `tls`: whether connections have it.
    pub const fn shown(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Http1, _) => "HTTP/1.1",
            (Self::Http2, true) => "HTTP/2",
            (Self::Http2, false) => "HTTP/2 in the clear (h2c)",
            (Self::Auto, _) => "HTTP/2 or HTTP/1.1, as the server chooses",
        }
    }
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
    /// `host:port`. Each address of a name is a server of its own.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without brackets.
        host: String,
        port: u16,
    },
    /// `srv+http://_service._tcp.domain`: SRV records (RFC 2782) say which servers there are.
    Service {
        /// Of the records.
        name: String,
    },
    /// `unix:/path`
    Unix(PathBuf),
    /// `component:…`, in this process.
    Component(Component),
}

impl ServerAddress {
    /// The name that has to be looked up to find servers. `localhost` and what is below it is this machine, whatever DNS says
    /// (RFC 6761, section 6.3); the system knows at which addresses.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Service { name } => Some(name),
            Self::Tcp { host, .. } => {
                let here = host == "localhost" || host.ends_with(".localhost");
                (!here && host.parse::<IpAddr>().is_err()).then_some(host)
            }
            Self::Unix(_) | Self::Component(_) => None,
        }
    }
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
            Self::Service { name } => write!(f, "srv+{name}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Component(component) => component.fmt(f),
        }
    }
}

/// How a server is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// The less busy of two picked at random.
    #[default]
    P2c,
    RoundRobin,
    /// The least busy of all.
    Least,
    /// The one that this part of the request belongs to, unless it has too much to do; as p2c if the request has none.
    Hash(HashKey),
}

impl fmt::Display for Balance {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P2c => f.write_str("p2c"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Least => f.write_str("least"),
            Self::Hash(key) => write!(f, "hash({key})"),
        }
    }
}

/// What requests that go to the same server have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address; of IPv6 its network of 64 bits.
    Client,
    /// Without the query.
    Path,
    /// The first line of this name.
    Header(HeaderName),
    Cookie(String),
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client.ip"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}
