//! Extended CONNECT (RFC 8441): a WebSocket on a stream. What comes out of here is the upgrade of HTTP/1.1 that it stands for, so that
//! routes, links and origins see one kind of WebSocket only.

use super::reply::Reply;
use crate::message::{Switched, Takeover};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Makes the request an upgrade if it is an extended CONNECT for a WebSocket. Others stay what they are, and are refused as CONNECT is.
pub fn is_asked(parts: &mut Parts) -> bool {
    if parts.method != Method::CONNECT || parts.extensions.get::<Protocol>().is_none_or(|protocol| protocol.as_str() != "websocket") {
        return false;
    }
    parts.method = Method::GET;
    let headers = &mut parts.headers;
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // HTTP/2 needs none (section 5), HTTP/1.1 does (RFC 6455, section 4.1).
    if !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        headers.extend(HeaderValue::try_from(key()).map(|key| (header::SEC_WEBSOCKET_KEY, key)));
    }
    true
}

/// 16 bytes that no cache has seen; they protect nothing (RFC 6455, section 10.3).
fn key() -> String {
    let random = || RandomState::new().hash_one(0).to_be_bytes();
    STANDARD.encode([random(), random()].concat())
}

/// The response on the stream: 200 instead of 101, after which the stream is the connection (section 5).
pub async fn switch(head: Response<()>, takeover: Takeover, incoming: RecvStream, reply: &Reply) {
    // 200, as every new response is.
    let mut response = Response::new(());
    *response.headers_mut() = head.into_parts().0.headers;
    for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
    if let Ok(out) = reply.send(response, false) {
        takeover(Switched { io: Box::new(StreamIo { incoming, out, piece: Bytes::new() }), early: Bytes::new() }).await;
    }
}

/// A stream as a connection: END_STREAM is FIN, and RST_STREAM is RST (section 5).
struct StreamIo {
    incoming: RecvStream,
    out: SendStream<Bytes>,
    /// Received, and not yet read.
    piece: Bytes,
}

impl AsyncRead for StreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.incoming.poll_data(cx)) {
                Some(piece) => self.piece = piece.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.piece.len().min(buf.remaining());
        buf.put_slice(self.piece.get(..count).unwrap_or_default());
        self.piece.advance(count);
        // Only fails if more is released than came in.
        let _ = self.incoming.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.out.reserve_capacity(bytes.len());
        while self.out.capacity() == 0 {
            match ready!(self.out.poll_capacity(cx)) {
                Some(room) => room.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let some = bytes.get(..self.out.capacity()).unwrap_or(bytes);
        self.out.send_data(Bytes::copy_from_slice(some), false).map_err(broken)?;
        Poll::Ready(Ok(some.len()))
    }

    /// What was written is on its way as soon as the connection's task runs.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.out.send_data(Bytes::new(), true).map_err(broken))
    }
}

fn broken(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL) => io::Error::new(io::ErrorKind::ConnectionReset, error),
        _ if error.is_io() => error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        _ => io::Error::new(io::ErrorKind::BrokenPipe, error),
    }
}
