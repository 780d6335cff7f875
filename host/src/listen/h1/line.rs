//! One client connection below the level of requests: bytes in, the body of the request in hand, what is said before the answer, the
//! client's silence and its going.
//!
//! Shared between the connection's task and the request's body, which are always polled on that task, one at a time.

use super::patience::Patience;
use crate::config::Limits;
use crate::listen::io::ClientIo;
use crate::message::{BodyError, Herald};
use crate::wire::{Coding, Decoded, Decoder, Framing, HeadLimits, Outbox, Persistence, put_response};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// One read of a head. Heads are rarely larger; TLS records never are.
const SCRATCH: usize = 16 << 10;
/// One read of a body: what a TLS record holds.
const PIECE: usize = 16 << 10;
/// How much is read ahead while the handler works, only to see whether the client is still there.
const AHEAD: usize = 16 << 10;

thread_local! {
    /// Where heads are read into before their size is known: so an idle connection holds no buffer, and a head gets one of its size.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

pub struct Line {
    /// `None` once the connection has been handed over.
    io: Option<Box<dyn ClientIo>>,
    /// Received, not yet interpreted.
    pub(super) input: BytesMut,
    decoder: Decoder,
    /// Counts, so that a body that was kept too long gets nothing of a later request.
    exchange: u32,
    /// The client waits for `100 Continue`.
    waits: bool,
    ahead: Ahead,
    /// The client broke its body's framing: nothing after it can be trusted.
    broken: bool,
    /// The one timer of this connection; whoever waits for the client sets it.
    pub(super) patience: Patience,
    limits: HeadLimits,
    body_idle: Duration,
}

/// What goes out before the answer: interim responses (RFC 9110, section 15.2).
#[derive(Debug)]
struct Ahead {
    text: BytesMut,
    /// Written, and not yet flushed.
    unflushed: bool,
    /// The answer has begun, or there is no exchange.
    over: bool,
}

impl Line {
    pub fn new(io: Box<dyn ClientIo>, limits: &Limits) -> Self {
        let body_idle = limits.body_idle;
        let limits = HeadLimits { start_line: limits.request_line, fields: limits.header_bytes, count: limits.header_count };
        Self {
            io: Some(io),
            input: BytesMut::new(),
            decoder: Decoder::new(Framing::None, &limits),
            exchange: 0,
            waits: false,
            ahead: Ahead { text: BytesMut::new(), unflushed: false, over: true },
            broken: false,
            patience: Patience::default(),
            limits,
            body_idle,
        }
    }

    /// The next exchange begins, with a request body framed like this. Returns its number.
    pub fn begin(&mut self, framing: Framing, expects_continue: bool) -> u32 {
        self.exchange = self.exchange.wrapping_add(1);
        self.decoder = Decoder::new(framing, &self.limits);
        (self.waits, self.ahead.over) = (expects_continue, false);
        self.patience.progress();
        self.exchange
    }

    /// Reads once into `input`. `Ok(0)`: the client sends no more.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let count = if self.input.is_empty() && self.decoder.is_end() {
            // Also lets go of the last head's memory, as far as nobody else holds it.
            self.input = BytesMut::new();
            READ.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(io).poll_read(cx, &mut read))?;
                self.input.extend_from_slice(read.filled());
                Poll::Ready(io::Result::Ok(read.filled().len()))
            })
        } else {
            self.input.reserve(PIECE);
            pin!(io.read_buf(&mut self.input)).poll(cx)
        };
        let count = ready!(count)?;
        self.patience.progress();
        Poll::Ready(Ok(count))
    }

    /// Ready when the client is gone. Called while it has nothing to do but wait; what it sends meanwhile is kept, up to a bound, above
    /// which we no longer look. A client that has only stopped sending counts as gone, like with nginx: one cannot tell the two
    /// apart, and clients that do so while they wait for an answer are rarer than those that have left.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A client that does not take it gets it with the answer.
        if let Poll::Ready(Err(_)) = self.poll_ahead(cx) {
            return Poll::Ready(());
        }
        while self.input.len() < AHEAD {
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// The next piece of the request's body.
    pub fn poll_body(&mut self, exchange: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if exchange != self.exchange || self.io.is_none() {
            return Poll::Ready(Some(Err(BodyError::ClientGone(None))));
        }
        match ready!(self.poll_decoded(cx)) {
            Ok(Decoded::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(Decoded::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(Decoded::End | Decoded::NeedMore) => Poll::Ready(None),
            Err(error) => {
                self.broken = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    /// Never `NeedMore`.
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyError>> {
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Decoded::NeedMore) => {}
                Ok(decoded) => {
                    // A client that did not wait needs not be told.
                    self.waits = false;
                    return Poll::Ready(Ok(decoded));
                }
                Err(bad) => return Poll::Ready(Err(BodyError::ClientMalformed(bad.reason()))),
            }
            // Tells a client that waits for it to go on, now that somebody wants its body (RFC 9110, section 10.1.1).
            if std::mem::take(&mut self.waits) {
                self.ahead.text.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            // Not waited for: a client may read only once it has sent everything.
            if let Poll::Ready(Err(error)) = self.poll_ahead(cx) {
                return Poll::Ready(Err(BodyError::ClientGone(Some(error.into()))));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(BodyError::ClientGone(None))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(BodyError::ClientGone(Some(error.into())))),
                Poll::Pending => {
                    ready!(self.patience.poll_stalled(self.body_idle, cx));
                    return Poll::Ready(Err(BodyError::ClientStalled));
                }
            }
        }
    }

    /// Writes what goes out before the answer.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (ahead, Some(io)) = (&mut self.ahead, &mut self.io) else { return Poll::Ready(Ok(())) };
        while !ahead.text.is_empty() {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, &ahead.text))?;
            ahead.text.advance(count);
            ahead.unflushed = true;
        }
        if ahead.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            (ahead.text, ahead.unflushed) = (BytesMut::new(), false);
        }
        Poll::Ready(Ok(()))
    }

    /// The answer begins: what is left to go before it does, and nothing from now on. `true`: the client still waits for `100 Continue`, so
    /// whether it will send its body is not known.
    pub fn begin_answer(&mut self, out: &mut Outbox) -> bool {
        // Time that passed while nobody wanted the body is not the client's.
        self.patience.progress();
        out.text().extend_from_slice(&self.ahead.text);
        self.ahead = Ahead { text: BytesMut::new(), unflushed: false, over: true };
        std::mem::take(&mut self.waits)
    }

    /// Writes everything in `out`; ready with `TimedOut` if the client takes nothing for too long.
    pub fn poll_write(&mut self, out: &mut Outbox, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let before = out.len();
        let written = match out.poll_flush(Pin::new(io), cx) {
            Poll::Ready(Ok(())) => Pin::new(io).poll_flush(cx),
            other => other,
        };
        if out.len() < before {
            self.patience.progress();
        }
        if written.is_pending() {
            ready!(self.patience.poll_stalled(self.body_idle, cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// Says that we send no more. Ready with an error if that cannot be said.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Dropping the line will reset the connection.
    pub fn reset(&self) {
        if let Some(io) = &self.io {
            io.reset();
        }
    }

    /// Hands over the socket and what was read beyond the request; `None` if the request's body is not over.
    pub fn take(&mut self) -> Option<(Box<dyn ClientIo>, Bytes)> {
        let io = self.io.take_if(|_| self.decoder.is_end())?;
        Some((io, std::mem::take(&mut self.input).freeze()))
    }

    /// Whether the request's body has been read to its end, soundly.
    pub fn is_settled(&self) -> bool {
        self.decoder.is_end() && !self.broken
    }

    /// Whether so much of the body is still to come, or it is so broken, that the connection is not worth keeping.
    pub fn is_lost(&self, most: u64) -> bool {
        self.broken || self.decoder.remaining().is_some_and(|left| left > most)
    }

    /// Reads and throws away the rest of the body, at most `most` bytes. `false`: there is more, or it is broken, or the client has gone.
    pub fn poll_drain(&mut self, most: &mut u64, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Decoded::End) => return Poll::Ready(true),
                Ok(Decoded::Trailers(_)) => {}
                Ok(Decoded::Data(data)) => match most.checked_sub(data.len() as u64) {
                    Some(left) => *most = left,
                    None => return Poll::Ready(false),
                },
                Ok(Decoded::NeedMore) => match ready!(self.poll_fill(cx)) {
                    Ok(0) | Err(_) => return Poll::Ready(false),
                    Ok(_) => {}
                },
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Puts an interim response before the answer. One more than the client may leave waiting is dropped.
    fn put_ahead(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.ahead.text.len() < self.limits.fields {
            let mut text = Vec::new();
            put_response(&mut text, status, headers, Coding::None, Persistence::Implied, Instant::now());
            self.ahead.text.extend_from_slice(&text);
        }
    }

    pub fn body_is_end(&self, exchange: u32) -> bool {
        exchange == self.exchange && self.is_settled()
    }

    pub fn body_size(&self, exchange: u32) -> SizeHint {
        let exact = self.decoder.remaining().filter(|_| exchange == self.exchange);
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Herald for RefCell<Line> {
    fn interim(&self, exchange: u32, status: StatusCode, headers: &HeaderMap) {
        let mut line = self.borrow_mut();
        if line.exchange == exchange && !line.ahead.over {
            line.put_ahead(status, headers);
        }
    }
}
