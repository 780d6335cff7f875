//! Bytes both ways until both sides have ended, one breaks, or neither says anything for too long.

use super::Client;
use super::flow::{Broken, Flow};
use super::record::{Counts, Ended, Ledger};
use crate::message::Duplex;
use crate::upstream::OpenedIo;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// One side.
pub(super) enum End {
    Socket(TcpStream),
    Stream(Box<dyn Duplex>),
}

pub(super) struct Relay {
    client: End,
    origin: End,
    inward: Flow,
    outward: Flow,
    counts: Rc<Counts>,
    ledger: Rc<Ledger>,
    idle: Duration,
    /// What was carried at the last look, and when that was.
    seen: (u64, Instant),
    timer: Pin<Box<Sleep>>,
}

impl Relay {
    /// `early` was read from the client and goes first; `idle`: without a byte in either direction.
    pub fn new(client: End, origin: End, early: Bytes, idle: Duration, ledger: &Rc<Ledger>, counts: Rc<Counts>) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(later(now, idle)));
        let (inward, outward) = (Flow::with(&early), Flow::default());
        Self { client, origin, inward, outward, counts, ledger: ledger.clone(), idle, seen: (0, now), timer }
    }

    /// `Ready(Some)`: it is over.
    fn poll_flows(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        let mut scratch = self.ledger.scratch.borrow_mut();
        let inward = self.inward.poll(&mut self.client, &mut self.origin, &mut scratch, &self.counts.received, cx);
        let outward = self.outward.poll(&mut self.origin, &mut self.client, &mut scratch, &self.counts.sent, cx);
        match (inward, outward) {
            (Poll::Ready(Err(Broken::Giving)), _) | (_, Poll::Ready(Err(Broken::Taking))) => Some(Ended::ClientGone),
            (Poll::Ready(Err(Broken::Taking)), _) | (_, Poll::Ready(Err(Broken::Giving))) => Some(Ended::OriginGone),
            _ if self.inward.has_ended() && self.outward.has_ended() => Some(Ended::Both),
            _ => None,
        }
    }

    /// Ready when nothing was carried for too long. The timer is set anew when it fires, not with every byte.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let carried = self.counts.received.get() + self.counts.sent.get();
        if carried != self.seen.0 {
            self.seen = (carried, Instant::now());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let until = later(self.seen.1, self.idle);
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Future for Relay {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let ended = match self.poll_flows(cx) {
            Some(ended) => ended,
            None if self.poll_idle(cx).is_ready() => Ended::Idle,
            None => return Poll::Pending,
        };
        if matches!(ended, Ended::ClientGone | Ended::OriginGone) {
            // Whoever is still there must not take what came for the whole.
            self.client.reset();
            self.origin.reset();
        }
        Poll::Ready(ended)
    }
}

/// Far enough away if it cannot be said.
fn later(now: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    now + time.min(YEAR)
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
