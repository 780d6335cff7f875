//! Floods: counts the frames that cost us more than the client (CVE-2023-44487 and its relatives) on the decrypted stream, below
//! crate `h2`, and ends the connection when there are too many in a second.

use super::frames::{FrameHeader, Frames};
use super::gather::Gathered;
use crate::config::Limits;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Error codes (section 7).
const ENHANCE_YOUR_CALM: u8 = 11;
const SECOND: Duration = Duration::from_secs(1);

/// What a client did within the current second.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    streams: u32,
    resets: u32,
    pings: u32,
    settings: u32,
}

impl Count {
    fn without(self, before: Self) -> Self {
        Self {
            streams: self.streams - before.streams,
            resets: self.resets - before.resets,
            pings: self.pings - before.pings,
            settings: self.settings - before.settings,
        }
    }
}

/// How much of it is too much.
#[derive(Debug, Clone, Copy)]
struct Most {
    reset_streams: u32,
    pings: u32,
    settings: u32,
}

impl Most {
    /// The name of the flood, if it is one.
    fn exceeded(&self, count: &Count) -> Option<&'static str> {
        if count.streams >= self.reset_streams && count.resets > count.streams / 2 {
            Some("streams opened and reset")
        } else if count.pings > self.pings {
            Some("PING frames")
        } else if count.settings > self.settings {
            Some("SETTINGS frames")
        } else {
            None
        }
    }
}

/// A client's decrypted stream, counted.
pub struct Metered<I> {
    io: Gathered<I>,
    heard: Rc<Cell<u32>>,
    incoming: Frames,
    outgoing: Frames,
    count: Count,
    since: Instant,
    most: Most,
    last_stream: u32,
    peer: SocketAddr,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Metered<I> {
    pub fn new(io: Gathered<I>, limits: &Limits, peer: SocketAddr) -> Self {
        let most = Most { reset_streams: limits.h2_reset_streams, pings: limits.h2_pings, settings: limits.h2_settings };
        Self {
            io,
            heard: Rc::default(),
            incoming: Frames::after_preface(),
            outgoing: Frames::default(),
            count: Count::default(),
            since: Instant::now(),
            most,
            last_stream: 0,
            peer,
        }
    }

    /// How often something was read.
    pub fn heard(&self) -> Rc<Cell<u32>> {
        Rc::clone(&self.heard)
    }

    /// Counts what has come in.
    ///
    /// # Errors
    /// If it is a flood.
    fn count(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        let Self { incoming, count, last_stream, .. } = self;
        let before = *count;
        incoming.pass(bytes, |frame| match (frame.kind, frame.flags & FrameHeader::ACK) {
            (FrameHeader::HEADERS, _) => {
                // Trailers are on a stream that is known.
                count.streams += u32::from(frame.stream > *last_stream);
                *last_stream = frame.stream.max(*last_stream);
            }
            (FrameHeader::RST_STREAM, _) => count.resets += 1,
            (FrameHeader::PING, 0) => count.pings += 1,
            (FrameHeader::SETTINGS, 0) => count.settings += 1,
            _ => {}
        });
        // The clock is asked only when a count that can break a limit has changed.
        if (before.resets, before.pings, before.settings) == (count.resets, count.pings, count.settings) {
            return Ok(());
        }
        if self.since.elapsed() >= SECOND {
            // Too long to judge; what has just come belongs to the next second.
            self.since = Instant::now();
            self.count = self.count.without(before);
        }
        match self.most.exceeded(&self.count) {
            None => Ok(()),
            Some(flood) => Err(self.end(flood, cx)),
        }
    }

    /// Says why with a GOAWAY (RFC 9113, section 6.8) if that can be done without waiting or tearing another frame apart.
    fn end(&mut self, flood: &str, cx: &mut Context<'_>) -> io::Error {
        tracing::warn!(peer = %self.peer, flood, count = ?self.count, "HTTP/2 flood; the connection is ended");
        if self.outgoing.is_boundary() {
            let mut goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM];
            for (place, byte) in goaway.iter_mut().skip(9).zip(self.last_stream.to_be_bytes()) {
                *place = byte;
            }
            let _ = Pin::new(&mut self.io).poll_write(cx, &goaway);
            let _ = self.io.poll_send(cx);
        }
        io::Error::other(format!("too many {flood}"))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.heard.set(self.heard.get().wrapping_add(1));
        let read = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.count(read, cx))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.outgoing.pass(buf.get(..count).unwrap_or_default(), |_| {});
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        let mut left = count;
        for buf in bufs {
            let taken = left.min(buf.len());
            self.outgoing.pass(buf.get(..taken).unwrap_or_default(), |_| {});
            left -= taken;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
