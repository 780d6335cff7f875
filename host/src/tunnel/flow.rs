//! One way of a tunnel: what comes in on one side goes out on the other, and so does the end.
//!
//! Bytes go through the worker's one buffer. Where they come faster than it holds and both sides are sockets, they go through a pipe
//! instead and are not copied at all; when they come slowly again, back. Between two looks nothing is held, but what the taking side
//! did not take. Measured with bodies of 10 MiB over 8 connections: 0.25 CPU seconds a GiB through pipes, 0.51 through the buffer.

use super::ends::End;
use super::pipe::{Pipe, Pipes};
use crate::message::HeaderWatch;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A read's worth: what a socket of a fast network holds between two looks at it.
const BUFFER: usize = 64 << 10;
/// Below this a move through a pipe costs more than a copy: two system calls more for the same bytes.
const LITTLE: usize = 16 << 10;

/// What the flows of one worker share.
pub(super) struct Means {
    buffer: RefCell<Box<[u8]>>,
    pipes: Pipes,
}

impl Default for Means {
    fn default() -> Self {
        Self { buffer: RefCell::new(vec![0; BUFFER].into_boxed_slice()), pipes: Pipes::default() }
    }
}

/// Between whom bytes are carried, and with what.
pub(super) struct Way<'a> {
    pub giving: &'a mut End,
    pub taking: &'a mut End,
    pub means: &'a Means,
    /// Counts what was written.
    pub carried: &'a Cell<u64>,
}

/// One direction.
#[derive(Default)]
pub(super) struct Flow {
    /// Read and not yet written, from `at` on.
    held: Vec<u8>,
    at: usize,
    /// Lent while something is inside.
    pipe: Option<Pipe>,
    /// Bytes come faster than the buffer holds.
    bulk: bool,
    stage: Stage,
    /// If what comes must not be a PROXY header.
    watch: Option<HeaderWatch>,
    /// Written since the last flush.
    unflushed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The giving side has ended; the taking side must still be told.
    Ending,
    Ended,
}

/// Why it cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection of this side broke.
    Giving,
    Taking,
    /// The giving side began with a PROXY header, and nobody believes it.
    Unlisted,
}

impl Flow {
    /// With something that was read before.
    pub fn with(early: &[u8], watch: Option<HeaderWatch>) -> Self {
        Self { held: early.to_vec(), watch, ..Self::default() }
    }

    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Carries what can be carried now. Ready once the giving side has ended and the taking side knows.
    pub fn poll(&mut self, way: &mut Way<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.poll_held(way, cx)).map_err(|_| Broken::Taking)?;
        loop {
            match self.stage {
                Stage::Open => ready!(self.poll_open(way, cx))?,
                Stage::Ending => {
                    ready!(end(way.taking, cx)).map_err(|_| Broken::Taking)?;
                    self.stage = Stage::Ended;
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// A round of reading and writing. Pending, the side that is waited for will wake this task.
    fn poll_open(&mut self, way: &mut Way<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let (End::Socket(giving), End::Socket(taking), true) = (&*way.giving, &*way.taking, self.bulk) else {
            return self.poll_copy(way, cx);
        };
        let Some(mut pipe) = self.pipe.take().or_else(|| way.means.pipes.take()) else { return self.poll_copy(way, cx) };
        let moved = poll_move(&mut pipe, giving, taking, way.carried, cx);
        match pipe.inside {
            0 => way.means.pipes.give_back(pipe),
            _ => self.pipe = Some(pipe),
        }
        match ready!(moved)? {
            Moved::Much => {}
            Moved::Little => self.bulk = false,
            Moved::End => self.stage = Stage::Ending,
        }
        Poll::Ready(Ok(()))
    }

    fn poll_copy(&mut self, way: &mut Way<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut buffer = way.means.buffer.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *way.giving).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) if read.filled().is_empty() => self.stage = Stage::Ending,
            Poll::Ready(Ok(())) if self.watch.as_mut().is_some_and(|watch| watch.sees_header(read.filled())) => {
                return Poll::Ready(Err(Broken::Unlisted));
            }
            Poll::Ready(Ok(())) => {
                self.bulk = read.remaining() == 0;
                ready!(self.poll_pass_on(read.filled(), way.taking, way.carried, cx)).map_err(|_| Broken::Taking)?;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Giving)),
            Poll::Pending => {
                // A TLS stream may still hold what was written.
                if self.unflushed {
                    ready!(Pin::new(&mut *way.taking).poll_flush(cx)).map_err(|_| Broken::Taking)?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes, and keeps what the taking side does not take now.
    fn poll_pass_on(&mut self, bytes: &[u8], taking: &mut End, carried: &Cell<u64>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut at = 0;
        let put = poll_put(bytes, &mut at, taking, carried, cx);
        self.unflushed |= at > 0;
        if put.is_pending() {
            (self.held, self.at) = (bytes.get(at..).unwrap_or_default().to_vec(), 0);
        }
        put
    }

    fn poll_held(&mut self, way: &mut Way<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let before = self.at;
        let put = poll_put(&self.held, &mut self.at, way.taking, way.carried, cx);
        self.unflushed |= self.at > before;
        ready!(put)?;
        (self.held, self.at) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

/// Writes `bytes` from `at` on, as far as they are taken.
fn poll_put(bytes: &[u8], at: &mut usize, taking: &mut End, carried: &Cell<u64>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while let Some(rest) = bytes.get(*at..).filter(|rest| !rest.is_empty()) {
        match ready!(Pin::new(&mut *taking).poll_write(cx, rest))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => {
                *at += count;
                carried.set(carried.get() + count as u64);
            }
        }
    }
    Poll::Ready(Ok(()))
}

/// Says that nothing more comes. A peer that has left already needs not to be told.
fn end(taking: &mut End, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    match ready!(Pin::new(taking).poll_shutdown(cx)) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        ended => Poll::Ready(ended),
    }
}

/// What a round through the pipe came to.
enum Moved {
    Much,
    Little,
    End,
}

/// Fills the pipe from one socket and empties it into the other.
fn poll_move(
    pipe: &mut Pipe,
    giving: &TcpStream,
    taking: &TcpStream,
    carried: &Cell<u64>,
    cx: &mut Context<'_>,
) -> Poll<Result<Moved, Broken>> {
    let mut filled = None;
    while pipe.inside == 0 {
        match ready!(poll_when_ready(giving, Interest::READABLE, || pipe.fill(giving), cx)) {
            Ok(0) => return Poll::Ready(Ok(Moved::End)),
            Ok(count) => filled = Some(count),
            Err(_) => return Poll::Ready(Err(Broken::Giving)),
        }
    }
    while pipe.inside > 0 {
        match ready!(poll_when_ready(taking, Interest::WRITABLE, || pipe.drain(taking), cx)) {
            Ok(count @ 1..) => carried.set(carried.get() + count as u64),
            Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Taking)),
        }
    }
    Poll::Ready(Ok(if filled.is_some_and(|count| count < LITTLE) { Moved::Little } else { Moved::Much }))
}

/// Tries it until the socket does not have to wait for it.
fn poll_when_ready<T>(
    socket: &TcpStream,
    interest: Interest,
    mut attempt: impl FnMut() -> io::Result<T>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(if interest.is_readable() { socket.poll_read_ready(cx) } else { socket.poll_write_ready(cx) })?;
        match socket.try_io(interest, &mut attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}
