//! A client connection, as far as exchanges on it may know.

use super::{Attributes, ClientIdentity, Proxied};
use std::borrow::Cow;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// Made once per accepted connection and shared by its exchanges.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The client's address, or what a PROXY header says it is; 127.0.0.1 for a client on a Unix socket, which has none.
    pub peer: SocketAddr,
    /// The listener's address as the client reached it.
    pub local: SocketAddr,
    /// `None` on a plain listener.
    pub tls: Option<TlsFacts>,
    /// Set by the links of the listener's chain; every exchange begins with them.
    pub attributes: Attributes,
    /// Whether the proxy itself ended the connection without waiting for its exchanges: what is dropped then was not given up by the client.
    pub cut: Cell<bool>,
    /// The client came over a Unix socket, and no PROXY header says where from.
    pub unix: bool,
    /// What else a PROXY header says.
    pub proxied: Option<Box<Proxied>>,
    /// The server name that a client asks for in a hello which is passed on unopened.
    pub asked: Option<Arc<str>>,
}

impl Connection {
    pub fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        let (tls, proxied, asked) = (None, None, None);
        Self { peer, local, tls, attributes: Attributes::new(), cut: Cell::new(false), unix: false, proxied, asked }
    }

    /// Over a Unix socket, neither end has an address.
    pub fn unix() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { unix: true, ..Self::new(nowhere, nowhere) }
    }
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    pub version: TlsVersion,
    /// Lower case.
    pub sni: Option<Arc<str>>,
    pub alpn: Alpn,
    /// `None`: the client was not asked who it is.
    pub client: Option<ClientAuth>,
}

/// The protocol that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alpn {
    /// Nobody spoke of it.
    None,
    Http1,
    Http2,
    /// On a TCP listener.
    Other(Box<[u8]>),
}

impl Alpn {
    pub fn of(agreed: Option<&[u8]>) -> Self {
        match agreed {
            None => Self::None,
            Some(b"http/1.1") => Self::Http1,
            Some(b"h2") => Self::Http2,
            Some(other) => Self::Other(other.into()),
        }
    }

    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Http1 => Some(b"http/1.1"),
            Self::Http2 => Some(b"h2"),
            Self::Other(name) => Some(name),
        }
    }
}

/// The outcome of asking a client for its certificate.
#[derive(Debug, Clone)]
pub struct ClientAuth {
    /// The site on whose behalf it was asked; to every other, the client is unknown.
    pub site: Arc<str>,
    /// `None`: it showed none, and the site can do without.
    pub identity: Option<Rc<ClientIdentity>>,
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

impl ClientAuth {
    /// The attribute of this name, of those that begin with `tls.client.`.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        if name == "tls.client.verified" {
            return Some(if self.identity.is_some() { "true" } else { "false" }.into());
        }
        let identity = self.identity.as_deref()?;
        let text: &str = match name {
            "tls.client.subject" => &identity.subject,
            "tls.client.issuer" => &identity.issuer,
            "tls.client.serial" => &identity.serial,
            "tls.client.fingerprint" => &identity.fingerprint,
            "tls.client.not-after" => &identity.not_after,
            "tls.client.san.dns" => return list(&identity.names.dns),
            "tls.client.san.uri" => return list(&identity.names.uri),
            "tls.client.san.email" => return list(&identity.names.email),
            "tls.client.san.ip" => return list(&identity.names.ip),
            _ => return None,
        };
        Some(text.into())
    }
}

/// Separated by spaces, which none of the names has.
fn list<'a>(names: &[impl ToString]) -> Option<Cow<'a, str>> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(" ").into())
}
