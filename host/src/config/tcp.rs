//! `[tcp."address"]`: connections that are passed on as they are.

use super::{ClientCertSpec, LinkSpec, ListenAddress, ListenSpec, Location, Peers, SiteName, TlsSpec, UpstreamName};
use std::time::Duration;

/// One listener of the TCP corridor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSpec {
    /// As written: the name of the listener in logs.
    pub name: String,
    /// One, or both wildcards for `":5432"`.
    pub addresses: Vec<ListenAddress>,
    pub tls: TcpTls,
    /// For what no entry of `sni` takes. `None`: nobody takes it, or the HTTPS sites of the same address do.
    pub to: Option<UpstreamName>,
    /// In file order; see [`TcpRoute`] for precedence.
    pub sni: Vec<TcpRoute>,
    /// Without a byte in either direction. `None`: [`super::Limits::tcp_idle`].
    pub idle: Option<Duration>,
    /// Links that decide about its connections.
    pub chain: Vec<LinkSpec>,
    /// Who must say in a PROXY header for whom it connects. Where https listens too, `[listen]` says so instead.
    pub proxy_protocol: Peers,
    pub at: Location,
}

/// Who makes the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpTls {
    /// Nobody looks.
    Plain,
    /// The client and the server; we read the client hello and pass it on.
    Passthrough,
    /// We do.
    Terminate {
        certificate: Box<TlsSpec>,
        /// `None`: clients are not asked who they are. Nothing is forwarded.
        client: Option<ClientCertSpec>,
        /// Protocols to agree on (ALPN), best first. Empty: none is spoken of.
        alpn: Vec<String>,
    },
}

/// One entry of `sni`. The most specific name with an entry that fits takes the connection: exact, then the longest wildcard; of one
/// name, entries with `alpn` before the one without, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpRoute {
    /// Never `Any`.
    pub name: SiteName,
    /// One of these must be offered. Empty: whatever is.
    pub alpn: Vec<String>,
    pub to: UpstreamName,
    pub at: Location,
}

impl TcpSpec {
    /// One that takes nothing by itself: for https listeners whose links may pass connections through.
    pub fn nowhere() -> Self {
        let at = Location { file: "".into(), line: 1, column: 1 };
        Self {
            name: String::new(),
            addresses: Vec::new(),
            tls: TcpTls::Passthrough,
            to: None,
            sni: Vec::new(),
            idle: None,
            chain: Vec::new(),
            proxy_protocol: Peers::default(),
            at,
        }
    }

    /// Whether HTTPS sites are served on an address of this listener: then what no entry of `sni` takes is theirs.
    pub fn is_shared(&self, listen: &ListenSpec) -> bool {
        self.addresses.iter().any(|address| shares(listen, address))
    }
}

/// Whether an https listener is bound to this address. Port 0 asks for a free port, so it is never another's.
fn shares(listen: &ListenSpec, address: &ListenAddress) -> bool {
    address.port().is_some_and(|port| port != 0) && listen.https.iter().any(|(https, _)| https == address)
}
