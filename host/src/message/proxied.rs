//! What a trusted proxy in front of us says about a connection, in a PROXY header.

/// Beyond the addresses, which take the place of the socket's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxied {
    /// The protocol that the client and that proxy agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The host name that the client asked for, as in SNI.
    pub authority: Option<Box<str>>,
    /// If the client spoke TLS with that proxy.
    pub tls: Option<ProxiedTls>,
}

/// TLS that ended before us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxiedTls {
    /// As that proxy writes it: `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// The common name of the client's certificate, which that proxy has verified.
    pub client_cn: Option<Box<str>>,
}
