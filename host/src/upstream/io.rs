//! What a connection to a server is made of: a TCP or Unix socket, with TLS on it or not. An enum and not a trait object: which one it
//! is never changes, and the plain case must cost no more than its socket.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// Bytes to and from a server.
pub enum OriginIo {
    Plain(Socket),
    /// Boxed: a session is about 1 KiB, which connections without one should not carry about.
    Tls(Box<TlsStream<Socket>>),
}

pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl OriginIo {
    /// Whether the connection is open and the server has said nothing unasked. Costs no system call while the runtime has seen no event
    /// on the socket; so a close that has just arrived may go unnoticed.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_quiet(),
            Self::Tls(stream) => {
                // Reads what TLS has to say for itself (tickets), and finds what is meant for us. Nobody is woken: who takes the
                // connection polls it again.
                let mut byte = [0];
                let polled = Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
                polled.is_pending()
            }
        }
    }

    /// As [`Self::is_quiet`], but asks the kernel, so that what has arrived is seen.
    pub fn is_surely_quiet(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let blocks = |peeked: io::Result<usize>| matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.is_quiet()
            && blocks(match self.socket() {
                Socket::Tcp(socket) => SockRef::from(socket).peek(&mut byte),
                Socket::Unix(socket) => SockRef::from(socket).peek(&mut byte),
            })
    }

    /// Whether TLS holds records that the socket has not taken yet.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Socket {
    fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(socket) => socket.try_read(&mut byte),
            Self::Unix(socket) => socket.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The same call on whichever it is.
macro_rules! each {
    ($this:expr, $first:ident | $second:ident, $call:ident($($argument:expr),*)) => {
        match $this.get_mut() {
            Self::$first(io) => Pin::new(io).$call($($argument),*),
            Self::$second(io) => Pin::new(io).$call($($argument),*),
        }
    };
}

macro_rules! duplex {
    ($type:ty, $first:ident | $second:ident) => {
        impl AsyncRead for $type {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                each!(self, $first | $second, poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                each!(self, $first | $second, poll_write(cx, buf))
            }

            fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                each!(self, $first | $second, poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $first | $second, poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $first | $second, poll_shutdown(cx))
            }
        }
    };
}
duplex!(OriginIo, Plain | Tls);
duplex!(Socket, Tcp | Unix);
