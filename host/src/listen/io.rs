//! A client's socket, encrypted or not.

use crate::message::{Duplex, HeaderWatch, Traffic};
use crate::wire::Stream;
use bytes::Bytes;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// What HTTP is spoken over. Boxed once per connection: a virtual call costs less than a second copy of the server in the
/// instruction cache.
pub trait ClientIo: Duplex {
    /// From now on, dropping the connection resets it, so that the client cannot take what it got for the whole.
    fn reset(&self);
}

/// An accepted connection, with what was read of it before it was known who would answer: read again first.
pub(super) struct Socket {
    pub stream: Stream,
    pub early: Bytes,
    /// Where bytes are counted, if anybody wants to know.
    pub traffic: Option<Rc<Traffic>>,
    /// A PROXY header is an error here, as the listener believes others and not this peer.
    pub watch: Option<HeaderWatch>,
}

/// The error of a socket whose peer has sent a PROXY header and is not one of those that are believed.
#[derive(Debug, thiserror::Error)]
#[error("a PROXY header from a peer that `proxy-protocol` does not list")]
pub(super) struct UnlistedHeader;

impl UnlistedHeader {
    /// The reason token: the same in log, metric and documentation.
    pub const REASON: &str = "unlisted_proxy_header";

    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Socket {
    pub fn new(stream: Stream, traffic: Option<Rc<Traffic>>) -> Self {
        Self { stream, early: Bytes::new(), traffic, watch: None }
    }
}

impl Socket {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let (Some(traffic), Poll::Ready(Ok(count))) = (&self.traffic, written) {
            traffic.send(*count);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            let before = buf.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            if let Some(traffic) = &self.traffic {
                traffic.receive(buf.filled().len() - before);
            }
            if let Some(watch) = &mut self.watch
                && watch.sees_header(buf.filled().get(before..).unwrap_or_default())
            {
                return Poll::Ready(Err(io::Error::other(UnlistedHeader)));
            }
            return read;
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        if self.early.is_empty() {
            // An empty rest would still hold the memory.
            self.early = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(&written);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl ClientIo for Socket {
    fn reset(&self) {
        self.stream.reset_on_drop();
    }
}

impl ClientIo for TlsStream<Socket> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

#[cfg(test)]
impl ClientIo for tokio::io::DuplexStream {
    fn reset(&self) {}
}
