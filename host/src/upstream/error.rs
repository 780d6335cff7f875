//! Why a request got no response, by whose fault.

use crate::message::BodyError;
use crate::wire::MalformedResponse;
use std::io;

/// Why a request got no response head. What it means to the client is decided in `proxy/failure.rs`.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    // The origin's fault.
    /// No address of the server took the connection.
    #[error("cannot connect to the origin")]
    Connect(#[source] io::Error),
    /// No look-up of the upstream's names has brought an address yet.
    #[error("no server of the upstream is known")]
    NoServers,
    #[error("the origin did not accept the connection in time")]
    ConnectTimeout,
    /// The server's certificate is not one to trust for it.
    #[error("the origin's certificate is refused")]
    Certificate(#[source] io::Error),
    /// The server ended the TLS session with an alert; often our certificate is missing or not to its liking.
    #[error("the origin refuses the TLS session")]
    Alert(#[source] io::Error),
    #[error("no TLS session with the origin")]
    Handshake(#[source] io::Error),
    /// The connection ended or broke before the response head was complete.
    #[error("the origin closed the connection before it answered")]
    Reset(#[source] Option<io::Error>),
    /// Over HTTP/2: the server has not looked at the request, and says so (RFC 9113, section 8.7).
    #[error("the origin refused the request before it looked at it")]
    Refused,
    /// No response head in time, or the request was not taken.
    #[error("the origin did not answer in time")]
    ResponseTimeout,
    #[error("the origin's response is malformed: {0}")]
    Malformed(#[from] MalformedResponse),
    /// A server within this process failed.
    #[error("the service failed ({})", .0.as_str())]
    Inside(super::InsideFault),
    // The client's.
    /// The request's body failed before the response began.
    #[error("the request ended early")]
    Client(#[source] BodyError),
    // The operator's.
    /// The exchange's total time is over.
    #[error("the exchange took too long")]
    Expired,
    // A guide's.
    /// Whoever has a say in where requests go wants this one to end.
    #[error("the request is not to be sent")]
    Halted,
    /// As many requests run as may, and as many wait, or it has waited for too long.
    #[error("the upstream has as much to do as it may")]
    Busy,
    /// An operator has taken all servers out.
    #[error("all servers of the upstream are taken out")]
    Drained,
    // Ours.
    /// No file descriptor or local port left to connect with.
    #[error("no resources left to connect to the origin")]
    Overloaded(#[source] io::Error),
}

impl SendError {
    /// The reason token of an exchange that ends by it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => "connect_refused",
            Self::Connect(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::NoServers => "no_servers",
            Self::Certificate(_) => "origin_certificate",
            Self::Alert(_) => "origin_tls_alert",
            Self::Handshake(_) => "origin_tls",
            Self::Reset(_) => "origin_reset",
            Self::Refused => "origin_refused",
            Self::Inside(fault) => fault.reason(),
            Self::ResponseTimeout => "response_timeout",
            Self::Malformed(_) => "bad_response",
            Self::Client(body) => body.reason(),
            Self::Expired => "exchange_timeout",
            Self::Busy => "upstream_busy",
            Self::Drained => "upstream_drained",
            Self::Overloaded(_) => "overload",
            // Whoever halts it says why.
            Self::Halted => "plugin",
        }
    }

    /// Another server may do better, and nothing of the request has been sent.
    pub(super) fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::ConnectTimeout | Self::Certificate(_) | Self::Handshake(_))
    }

    /// Of the server's doing: another may do better.
    pub(super) fn is_origins(&self) -> bool {
        self.is_connect() || matches!(self, Self::Alert(_) | Self::Reset(_) | Self::Refused | Self::ResponseTimeout | Self::Malformed(_))
    }
}

/// An error with what was tried until then.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failed {
    #[source]
    pub error: SendError,
    pub attempt: super::Attempt,
}
