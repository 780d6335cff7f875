//! One request with its response: identity and attributes, no sockets, no times.

use super::trace::Standing;
use super::{Connection, RequestHead};
use bytestring::ByteString;
use http::Version;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

/// Unique in this process while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(pub u64);

/// What links may know of an exchange beyond the heads.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub id: ExchangeId,
    pub connection: Rc<Connection>,
    /// The client's address, after `Forwarded` from trusted peers.
    pub client: IpAddr,
    /// 0 where only a trusted peer knows it.
    pub client_port: u16,
    pub version: Version,
    /// Names of what was matched; shared with the snapshot.
    pub site: ByteString,
    pub route: ByteString,
    /// Known from the response phase on.
    pub upstream: Option<ByteString>,
    /// Set by links with `set-attribute`, latest value only.
    pub attributes: SmallVec<[(ByteString, ByteString); 2]>,
    /// `None`: nothing is traced here.
    pub trace: Option<Standing>,
}

impl Exchange {
    /// The attribute of this name as the contract (`wit/types.wit`, `attribute`) lists them; `head` is the request's.
    pub fn attribute<'a>(&'a self, name: &str, head: Option<&'a RequestHead>) -> Option<Cow<'a, str>> {
        let owned = |text: String| Some(Cow::Owned(text));
        let tls = self.connection.tls.as_ref();
        match name {
            "client.ip" => owned(self.client.to_string()),
            "client.port" => owned(self.client_port.to_string()),
            "peer.ip" => owned(self.connection.peer.ip().to_string()),
            "server.ip" => owned(self.connection.local.ip().to_string()),
            "server.port" => owned(self.connection.local.port().to_string()),
            "tls.version" => tls.map(|tls| tls.version.as_str().into()),
            "tls.sni" => tls.and_then(|tls| tls.sni.as_deref()).map(Cow::Borrowed),
            "tls.alpn" => tls.map(|tls| if tls.alpn == super::Alpn::Http2 { "h2" } else { "http/1.1" }.into()),
            name if name.starts_with("tls.client.") => tls.and_then(|tls| tls.client.as_ref()).and_then(|client| client.attribute(name)),
            "http.version" => Some(version_name(self.version).into()),
            "site" => Some((&*self.site).into()),
            "route" => Some((&*self.route).into()),
            "upstream" => self.upstream.as_deref().map(Cow::Borrowed),
            "request.id" => owned(format!("{:016x}", self.id.0)),
            "request.method" => head.map(|head| head.method.as_str().into()),
            "request.scheme" => head.map(|head| head.scheme.as_str().into()),
            "request.authority" => head.map(|head| (&*head.authority).into()),
            "request.path" => head.map(|head| (&*head.path).into()),
            "request.query" => head.and_then(|head| head.query.as_deref()).map(Cow::Borrowed),
            _ => self.attributes.iter().find(|(set, _)| set == name).map(|(_, value)| (&**value).into()),
        }
    }

    /// Sets or replaces an attribute that belongs to links.
    pub fn set_attribute(&mut self, name: ByteString, value: ByteString) {
        match self.attributes.iter_mut().find(|(set, _)| *set == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name, value)),
        }
    }

    /// Whether a link may set this name: those of the proxy are reserved.
    pub fn is_reserved(name: &str) -> bool {
        const PREFIXES: [&str; 8] = ["client.", "peer.", "server.", "tls.", "http.", "request.", "portcullis.", "listener."];
        matches!(name, "site" | "route" | "upstream" | "listener") || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// `1.0`, `1.1` or `2`.
const fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
