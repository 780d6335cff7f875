//! The life of connections, below HTTP: what a plugin sees of them, what it decides, what it can set.
//!
//! ```
//! use portcullis_sdk::prelude::*;
//!
//! /// Turns one network away.
//! #[settings]
//! struct Door {
//!     /// Its first octet.
//!     #[setting(default = 10)]
//!     octet: u8,
//! }
//!
//! #[plugin]
//! impl Door {
//!     #[interest(peer)]
//!     fn on_accept(&self, accepted: &Accepted, edit: &mut ConnectionEdits) -> AcceptVerdict {
//!         edit.set_attribute("log.door", "seen");
//!         match accepted.peer_ip() {
//!             Some(core::net::IpAddr::V4(ip)) if ip.octets()[0] == self.octet => AcceptVerdict::Reset,
//!             _ => AcceptVerdict::Next,
//!         }
//!     }
//! }
//!
//! use portcullis_sdk::test::{Harness, connection};
//! let door = Harness::<Door>::new("{}");
//! assert_eq!(door.on_accept(connection("10.1.2.3:4000")).verdict(), &AcceptVerdict::Reset);
//! assert_eq!(door.on_accept(connection("192.0.2.1:4000")).attribute("log.door"), Some("seen"));
//! ```
//!
//! On the native target, where tests run, reading a part that was not asked for panics, as for heads.

use crate::abi::{Arena, Field, List, Numbers, Strings};
#[cfg(not(target_family = "wasm"))]
use alloc::borrow::Cow;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;
use core::time::Duration;

/// Attributes of a connection that were asked for.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'c> {
    pub(crate) list: &'c [Field<'c>],
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: &'c [Cow<'static, str>],
}

impl<'c> Attributes<'c> {
    /// The attribute of this name, such as `listener`; `None` if the proxy or a link before has not set it.
    #[inline]
    pub fn attribute(&self, name: &str) -> Option<&'c str> {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            self.asked.iter().any(|asked| asked == name),
            "attribute `{name}` was not asked for: add it to the interest, #[interest(attributes = [\"{name}\"])]"
        );
        self.list.iter().find(|field| field.is(name)).map(Field::text)
    }
}

/// Panics on the native target if a part was not asked for.
macro_rules! asked {
    ($seen:expr, $interest:ident, $bit:ident, $word:literal) => {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            $seen.asked & crate::plan::$interest::$bit != 0,
            concat!("`", $word, "` was not asked for: add it to the interest, #[interest(", $word, ")]")
        );
    };
}

/// A connection that was accepted.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'c> {
    pub(crate) connection: u64,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) attributes: Attributes<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl Accepted<'_> {
    /// Who connected, after a PROXY header; `None` over a Unix socket. Interest: `peer`.
    #[inline]
    pub fn peer(&self) -> Option<SocketAddr> {
        asked!(self, AcceptInterest, PEER, "peer");
        self.peer
    }

    /// Its address alone. Interest: `peer`.
    #[inline]
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.peer().map(|peer| peer.ip())
    }

    /// Where to; `None` over a Unix socket. Interest: `local`.
    #[inline]
    pub fn local(&self) -> Option<SocketAddr> {
        asked!(self, AcceptInterest, LOCAL, "local");
        self.local
    }

    /// The number that ties the phases of one connection together. Interest: `connection`.
    #[inline]
    pub fn connection(&self) -> u64 {
        asked!(self, AcceptInterest, CONNECTION, "connection");
        self.connection
    }
}

/// Its attributes.
impl<'c> Deref for Accepted<'c> {
    type Target = Attributes<'c>;

    #[inline]
    fn deref(&self) -> &Attributes<'c> {
        &self.attributes
    }
}

/// What a TLS client offers (RFC 8446, section 4.1.2).
#[derive(Debug, Clone, Copy)]
pub struct ClientHello<'c> {
    pub(crate) connection: u64,
    pub(crate) sni: Option<&'c str>,
    pub(crate) alpn: Strings<'c>,
    pub(crate) versions: Numbers<'c>,
    pub(crate) ciphers: Numbers<'c>,
    pub(crate) ja4: &'c str,
    pub(crate) raw: &'c [u8],
    pub(crate) attributes: Attributes<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> ClientHello<'c> {
    /// The server's name in lower case, if the client gave one. Interest: `sni`.
    #[inline]
    pub fn sni(&self) -> Option<&'c str> {
        asked!(self, HelloInterest, SNI, "sni");
        self.sni
    }

    /// Protocols in the client's order, such as `h2`. Interest: `alpn`.
    #[inline]
    pub fn alpn(&self) -> impl Iterator<Item = &'c [u8]> + use<'c> {
        asked!(self, HelloInterest, ALPN, "alpn");
        self.alpn.iter()
    }

    /// Protocol versions in the client's order, 0x0304 for TLS 1.3. Interest: `versions`.
    #[inline]
    pub fn versions(&self) -> &'c [u16] {
        asked!(self, HelloInterest, VERSIONS, "versions");
        self.versions.items()
    }

    /// Cipher suites in the client's order. Interest: `ciphers`.
    #[inline]
    pub fn ciphers(&self) -> &'c [u16] {
        asked!(self, HelloInterest, CIPHERS, "ciphers");
        self.ciphers.items()
    }

    /// A fingerprint of the client's TLS library: JA4, such as `t13d1516h2_8daaf6152771_02713d6af862`. Interest: `ja4`.
    #[inline]
    pub fn ja4(&self) -> &'c str {
        asked!(self, HelloInterest, JA4, "ja4");
        self.ja4
    }

    /// The handshake message as received, with its header of four bytes. Interest: `raw`.
    #[inline]
    pub fn raw(&self) -> &'c [u8] {
        asked!(self, HelloInterest, RAW, "raw");
        self.raw
    }

    /// The number that ties the phases of one connection together. Interest: `connection`.
    #[inline]
    pub fn connection(&self) -> u64 {
        asked!(self, HelloInterest, CONNECTION, "connection");
        self.connection
    }
}

/// Its attributes.
impl<'c> Deref for ClientHello<'c> {
    type Target = Attributes<'c>;

    #[inline]
    fn deref(&self) -> &Attributes<'c> {
        &self.attributes
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy)]
pub struct Closed<'c> {
    pub(crate) connection: u64,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Microseconds.
    pub(crate) duration: u64,
    pub(crate) reason: &'c str,
    pub(crate) attributes: Attributes<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> Closed<'c> {
    /// Who had connected; `None` over a Unix socket. Interest: `peer`.
    #[inline]
    pub fn peer(&self) -> Option<SocketAddr> {
        asked!(self, CloseInterest, PEER, "peer");
        self.peer
    }

    /// Bytes that the client sent, what TLS adds included. Interest: `bytes`.
    #[inline]
    pub fn received(&self) -> u64 {
        asked!(self, CloseInterest, BYTES, "bytes");
        self.received
    }

    /// Bytes that the client was sent, what TLS adds included. Interest: `bytes`.
    #[inline]
    pub fn sent(&self) -> u64 {
        asked!(self, CloseInterest, BYTES, "bytes");
        self.sent
    }

    /// Since it was accepted. Interest: `duration`.
    #[inline]
    pub fn duration(&self) -> Duration {
        asked!(self, CloseInterest, DURATION, "duration");
        Duration::from_micros(self.duration)
    }

    /// `done`, `refused` (by a link), `fault` (a link's), `tls` (the handshake failed), `stopped` (the proxy was); more words may come.
    /// Interest: `reason`.
    #[inline]
    pub fn reason(&self) -> &'c str {
        asked!(self, CloseInterest, REASON, "reason");
        self.reason
    }

    /// The number that ties the phases of one connection together. Interest: `connection`.
    #[inline]
    pub fn connection(&self) -> u64 {
        asked!(self, CloseInterest, CONNECTION, "connection");
        self.connection
    }
}

/// Its attributes.
impl<'c> Deref for Closed<'c> {
    type Target = Attributes<'c>;

    #[inline]
    fn deref(&self) -> &Attributes<'c> {
        &self.attributes
    }
}

/// What a phase can set on a connection.
#[derive(Debug)]
pub struct ConnectionEdits<'c> {
    pub(crate) arena: &'c Arena,
    pub(crate) list: List<'c, Field<'c>>,
}

impl<'c> ConnectionEdits<'c> {
    pub(crate) fn new(arena: &'c Arena) -> Self {
        Self { arena, list: List::new() }
    }

    /// Sets a named fact: later links of the connection and every link of every exchange on it can ask for it, and names that begin with
    /// `log.` go to the access log. Names that the proxy sets itself, such as `peer.ip`, cannot be set. At most 64, 64 KiB in all.
    #[inline]
    pub fn set_attribute(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let field = self.arena.field(name.as_ref(), value.as_ref().as_bytes());
        self.list.push(self.arena, field);
    }
}

/// What happens next to a connection that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptVerdict {
    /// Go on with the next link; after the last one, with what the listener does.
    Next,
    /// Refuse: the client sees an error.
    Reset,
    /// Refuse: the client sees an end.
    Close,
    /// To the upstream of this name, byte by byte. TCP listeners without TLS only.
    Forward(String),
}

/// What happens next to a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloVerdict {
    /// Go on with the next link; after the last one, with what the listener does.
    Next,
    /// Refuse: the client sees an error.
    Reset,
    /// Refuse: the client sees an end.
    Close,
    /// Refuse with a fatal alert of this number (RFC 8446, section 6): 49 is access_denied, 112 unrecognized_name.
    Alert(u8),
    /// Terminate TLS, then to the upstream of this name, byte by byte. TCP listeners that terminate TLS only.
    Forward(String),
    /// To the upstream of this name as it is: the client makes its handshake with the upstream.
    PassThrough(String),
}

impl From<()> for AcceptVerdict {
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl From<Option<Self>> for AcceptVerdict {
    fn from(verdict: Option<Self>) -> Self {
        verdict.unwrap_or(Self::Next)
    }
}

impl From<()> for HelloVerdict {
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl From<Option<Self>> for HelloVerdict {
    fn from(verdict: Option<Self>) -> Self {
        verdict.unwrap_or(Self::Next)
    }
}
