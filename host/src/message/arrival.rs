//! A connection as the links of its listener see it, before anything is known of requests: what came, what becomes of it, how it ended.

use bytestring::ByteString;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;

/// Unique in this process while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ConnectionId(pub u64);

/// What links have set on a connection, latest value only.
pub type Attributes = SmallVec<[(ByteString, ByteString); 2]>;

/// A connection that was accepted.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub id: ConnectionId,
    /// After a PROXY header. `None`: a Unix socket.
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// The listener's address as bound; shared with it.
    pub listener: ByteString,
    pub kind: ListenerKind,
    /// How many this client has open, this one included; counted only where a link asks for it.
    pub open: Option<u32>,
    /// Set by links.
    pub attributes: Attributes,
}

/// What a listener does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// HTTP in the clear.
    Http,
    Https,
    /// Bytes, in the clear or not.
    Tcp,
}

/// What becomes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// What the listener does with every connection.
    Onward,
    Refuse(Refusal),
    /// To the upstream of this name, which exists: as bytes, after TLS where the listener terminates it.
    Forward(ByteString),
    /// To the upstream of this name, which exists: with the TLS that the client began.
    PassThrough(ByteString),
}

/// How a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The client sees an error.
    Reset,
    /// The client sees an end.
    Close,
    /// A fatal TLS alert of this number, then an end. Only in answer to a client hello.
    Alert(u8),
}

/// Why no route takes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// None has the name that the client asks for, or it asks for none.
    Name,
    /// Some have, but for other protocols (ALPN) than it offers.
    Protocol,
}

impl Unrouted {
    /// The reason token: the same in log, metric and documentation.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Name => "no_sni_match",
            Self::Protocol => "no_alpn_match",
        }
    }

    /// `unrecognized_name` (RFC 6066, section 3) or `no_application_protocol` (RFC 7301, section 3.2).
    pub const fn alert(self) -> u8 {
        match self {
            Self::Name => 112,
            Self::Protocol => 120,
        }
    }

    /// The alert's name in its RFC.
    pub const fn alert_name(self) -> &'static str {
        match self {
            Self::Name => "unrecognized_name",
            Self::Protocol => "no_application_protocol",
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Bytes from the client, TLS included; 0 where nobody asked for them.
    pub received: u64,
    pub sent: u64,
    pub duration: std::time::Duration,
    pub why: EndReason,
}

/// Bytes of a connection so far, as they are on the socket. Shared by who counts and who wants to know.
#[derive(Debug, Default)]
pub struct Traffic {
    pub received: Cell<u64>,
    pub sent: Cell<u64>,
}

impl Traffic {
    pub fn receive(&self, count: usize) {
        self.received.set(self.received.get() + count as u64);
    }

    pub fn send(&self, count: usize) {
        self.sent.set(self.sent.get() + count as u64);
    }
}

/// The words of `wit/types.wit`, `closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Done,
    Refused,
    Fault,
    Tls,
    Stopped,
}

impl Arrival {
    /// The attribute of this name as the contract (`wit/types.wit`, `accepted`) lists them.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let ip = |at: Option<SocketAddr>| at.map(|at| Cow::Owned(at.ip().to_canonical().to_string()));
        let port = |at: Option<SocketAddr>| at.map(|at| Cow::Owned(at.port().to_string()));
        match name {
            "peer.ip" => ip(self.peer),
            "peer.port" => port(self.peer),
            "peer.connections" => self.open.map(|open| Cow::Owned(open.to_string())),
            "server.ip" => ip(self.local),
            "server.port" => port(self.local),
            "listener" => Some((&*self.listener).into()),
            "listener.kind" => Some(self.kind.as_str().into()),
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
}

impl ListenerKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

impl EndReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Fault => "fault",
            Self::Tls => "tls",
            Self::Stopped => "stopped",
        }
    }
}
