//! The two sides of a tunnel, whatever they are.

use super::Client;
use crate::message::Duplex;
use crate::upstream::OpenedIo;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One side.
pub(super) enum End {
    Socket(TcpStream),
    Stream(Box<dyn Duplex>),
}

impl End {
    /// From now on, dropping the connection resets it. TLS says the same by ending without `close_notify`.
    pub fn reset(&self) {
        if let Self::Socket(socket) = self {
            // An error means that it is already closed.
            let _ = socket.set_zero_linger();
        }
    }
}

impl From<Client> for End {
    fn from(client: Client) -> Self {
        match client {
            Client::Socket(socket) => Self::Socket(socket),
            Client::Stream(stream) => Self::Stream(stream),
        }
    }
}

impl From<OpenedIo> for End {
    fn from(io: OpenedIo) -> Self {
        match io {
            OpenedIo::Socket(socket) => Self::Socket(socket),
            OpenedIo::Stream(stream) => Self::Stream(stream),
        }
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Stream(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Stream(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Self::Stream(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
