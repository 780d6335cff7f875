//! One connection to a server: its socket and buffers. What is said on it, see `transfer` and `body`.

use super::io::OriginIo;
use super::seats::Seat;
use crate::message::Connection;
use crate::wire::{Deadline, HeadLimits, HeadParser, Outbox};
use bytes::BytesMut;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Weak;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

pub(super) struct Channel {
    pub io: OriginIo,
    /// Received and not yet understood.
    pub read: BytesMut,
    pub out: Outbox,
    pub parser: HeadParser,
    pub limits: HeadLimits,
    pub deadline: Deadline,
    /// The one client that it may serve, if its server was told for whom it was made.
    pub owner: Option<Weak<Connection>>,
    opened: Instant,
    /// How much the next read asks for.
    room: usize,
    /// Given back after the socket is closed: fields are dropped in their order. `None`: it does not count.
    pub seat: Option<Seat>,
}

/// What a read asks for at first: a head and a small body. A few of them fit into one allocation.
const ROOM: usize = 16 << 10;
/// What it grows to while reads fill their room: beyond this, fewer system calls no longer pay for the cache misses.
const MOST_ROOM: usize = 128 << 10;

impl Channel {
    pub fn new(io: OriginIo, limits: HeadLimits, opened: Instant) -> Self {
        Self {
            io,
            read: BytesMut::new(),
            out: Outbox::default(),
            parser: HeadParser::new(limits),
            limits,
            deadline: Deadline::default(),
            owner: None,
            opened,
            room: ROOM,
            seat: None,
        }
    }

    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Reads what is there; 0: the server closed the connection.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A quarter: rather fill up what is left of an allocation than make one for each read.
        if self.read.capacity() - self.read.len() < self.room / 4 {
            self.make_room();
        }
        let space = self.read.capacity() - self.read.len();
        // The future has no state of its own, so one per poll loses nothing.
        let count = ready!(pin!(self.io.read_buf(&mut self.read)).poll(cx))?;
        if count == space {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        Poll::Ready(Ok(count))
    }

    /// In a buffer of `room`, unless more is waiting to be understood. Not left to `reserve`, which makes buffers of all sizes between: the
    /// allocator has 4 MiB of memory for each size beyond 64 KiB, on each worker.
    fn make_room(&mut self) {
        if self.read.try_reclaim(self.room) {
            return;
        }
        let waiting = self.read.len();
        let size = if waiting <= self.room / 4 * 3 { self.room } else { waiting + self.room };
        let mut larger = BytesMut::with_capacity(size);
        larger.extend_from_slice(&self.read);
        self.read = larger;
    }

    /// Writes what waits in `out`, and what TLS made of it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_flush(Pin::new(&mut self.io), cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Whether something waits to be written.
    pub fn has_unsent(&self) -> bool {
        !self.out.is_empty() || self.io.has_unsent()
    }

    /// Whether the connection is open and the server has said nothing unasked, as far as the runtime has seen; what has just arrived may
    /// go unnoticed, which is what the second try is for.
    pub fn is_quiet(&mut self) -> bool {
        self.read.is_empty() && self.io.is_quiet()
    }

    /// As [`Self::is_quiet`], but the kernel is asked: for requests that get no second try.
    pub fn is_surely_quiet(&mut self) -> bool {
        self.read.is_empty() && self.io.is_surely_quiet()
    }

    /// Whether it belongs to a client that has left.
    pub fn is_orphaned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.strong_count() == 0)
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
