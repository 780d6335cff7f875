//! What a handler gives back for a request.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use std::future::Future;
use std::pin::Pin;

/// The end of an exchange as the listening wall sees it. Generic over the response body.
#[allow(clippy::large_enum_variant, reason = "Respond is the hot case and must not be boxed; the others are rare")]
pub enum Answer<B> {
    /// Head (hop-by-hop and framing fields absent; the wall writes its own) and body. If the body's size hint is exact, it is sent as
    /// Content-Length (also for HEAD, where a `content-length` in the head is kept instead and no body is written).
    Respond(Response<B>),
    /// 101: the wall writes the head with `Connection: upgrade`, keeping the head's `Upgrade` field, then hands the
    /// connection over.
    Switch(Response<()>, Takeover),
    /// No answer: close the connection (HTTP/1.1) or reset the stream (HTTP/2).
    Abort,
}

/// What runs on a connection after `101 Switching Protocols`; the connection ends with it.
pub type Takeover = Box<dyn FnOnce(Switched) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A connection that no longer speaks HTTP.
pub struct Switched {
    pub io: Box<dyn Duplex>,
    /// What was read beyond the head.
    pub early: Bytes,
}

/// A complete response made here rather than by an upstream.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Both directions of a byte stream; tokio's traits, because both walls speak them.
pub trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Duplex for T {}
