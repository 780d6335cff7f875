//! One connection to a server: its socket and buffers. What is said on it, see `transfer` and `body`.

use crate::wire::{Deadline, HeadLimits, HeadParser, Outbox};
use bytes::BytesMut;
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub(super) struct Channel {
    pub io: TcpStream,
    /// Received and not yet understood.
    pub read: BytesMut,
    pub out: Outbox,
    pub parser: HeadParser,
    pub limits: HeadLimits,
    pub deadline: Deadline,
    opened: Instant,
    /// How much the next read asks for.
    room: usize,
}

/// What a read asks for at first: a head and a small body. A few of them fit into one allocation.
const ROOM: usize = 16 << 10;
/// What it grows to while reads fill their room: beyond this, fewer system calls no longer pay for the cache misses.
const MOST_ROOM: usize = 128 << 10;

impl Channel {
    pub fn new(io: TcpStream, limits: HeadLimits, opened: Instant) -> Self {
        Self {
            io,
            read: BytesMut::new(),
            out: Outbox::default(),
            parser: HeadParser::new(limits),
            limits,
            deadline: Deadline::default(),
            opened,
            room: ROOM,
        }
    }

    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Reads what is there; 0: the server closed the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A quarter: rather fill up what is left of an allocation than make one for each read.
        if self.read.capacity() - self.read.len() < self.room / 4 {
            self.read.reserve(self.room);
        }
        let space = self.read.capacity() - self.read.len();
        // The future has no state of its own, so one per poll loses nothing.
        let count = ready!(pin!(self.io.read_buf(&mut self.read)).poll(cx))?;
        if count == space {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        Poll::Ready(Ok(count))
    }

    /// Writes what waits in `out`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(Pin::new(&mut self.io), cx)
    }

    /// Whether the connection is open and the server has said nothing unasked. Costs no system call while the runtime has seen no event
    /// on the socket; so a close that has just arrived may go unnoticed, which is what the second try is for.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        self.read.is_empty() && matches!(self.io.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// As [`Self::is_quiet`], but asks the kernel, so that what has arrived is seen: for requests that get no second try.
    pub fn is_surely_quiet(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        self.is_quiet() && matches!(SockRef::from(&self.io).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Before it lies idle: a connection that carried a large body gives its large buffer back.
    pub fn rest(&mut self) {
        self.deadline.clear();
        if self.room > ROOM {
            self.room = ROOM;
            self.read = BytesMut::new();
        }
    }
}
