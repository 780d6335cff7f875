//! What a connection to a server is made of: a socket, with TLS on it or not. An enum, so that the plain case costs no more than its
//! socket.

use super::OpenedIo;
use crate::wire::{Stream, either};
use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_rustls::client::TlsStream;

/// Bytes to and from a server.
pub enum OriginIo {
    Plain(Stream),
    /// Boxed: a session is about 1 KiB, which connections without one should not carry about.
    Tls(Box<TlsStream<Stream>>),
}

impl OriginIo {
    /// Whether the connection is open and the server has said nothing unasked. Costs no system call while the runtime has seen no event
    /// on the socket; so a close that has just arrived may go unnoticed.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            Self::Plain(socket) => is_quiet(socket),
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
                Stream::Tcp(socket) => SockRef::from(socket).peek(&mut byte),
                Stream::Unix(socket) => SockRef::from(socket).peek(&mut byte),
            })
    }

    /// Whether the kernel knows that the server will send no more and all of what it sent has been read, or that the connection broke.
    pub fn is_closed(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self.socket() {
            Stream::Tcp(socket) => SockRef::from(socket).peek(&mut byte),
            Stream::Unix(socket) => SockRef::from(socket).peek(&mut byte),
        };
        match peeked {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// What was agreed on with TLS.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    /// Whether TLS holds records that the socket has not taken yet.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }

    fn socket(&self) -> &Stream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

fn is_quiet(socket: &Stream) -> bool {
    let mut byte = [0];
    let read = match socket {
        Stream::Tcp(socket) => socket.try_read(&mut byte),
        Stream::Unix(socket) => socket.try_read(&mut byte),
    };
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

either!(OriginIo, Plain | Tls);

impl From<OriginIo> for OpenedIo {
    fn from(io: OriginIo) -> Self {
        match io {
            OriginIo::Plain(Stream::Tcp(socket)) => Self::Socket(socket),
            other => Self::Stream(Box::new(other)),
        }
    }
}
