//! A client connection, as far as exchanges on it may know.

use super::Attributes;
use std::net::SocketAddr;
use std::sync::Arc;

/// Made once per accepted connection and shared by its exchanges.
#[derive(Debug, Clone)]
pub struct Connection {
    pub peer: SocketAddr,
    /// The listener's address as the client reached it.
    pub local: SocketAddr,
    /// `None` on a plain listener.
    pub tls: Option<TlsFacts>,
    /// Set by the links of the listener's chain; every exchange begins with them.
    pub attributes: Attributes,
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    pub version: TlsVersion,
    /// Lower case.
    pub sni: Option<Arc<str>>,
    /// `true`: `h2`; `false`: `http/1.1` or none.
    pub h2: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

impl TlsVersion {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}
