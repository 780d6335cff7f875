//! After `101 Switching Protocols` (RFC 9110, section 7.8): bytes both ways until both sides have ended, or neither says anything for
//! too long. Looks at none of them.

use super::exchange::Guard;
use crate::message::{Duplex, Switched, Takeover};
use bytes::Bytes;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Each way. As much as fits a TLS record; upgraded connections are many and mostly idle.
const BUFFER: usize = 16 << 10;

/// What the listening wall runs on the client's connection. `idle`: without a byte in either direction.
pub(super) fn takeover(origin: Switched, idle: Duration, guard: Guard) -> Takeover {
    Box::new(move |client| Box::pin(splice(client, origin, idle, guard)))
}

async fn splice(client: Switched, origin: Switched, idle: Duration, guard: Guard) {
    let mut meter = Meter { received: Rc::default(), sent: Rc::default(), last: Rc::new(Cell::new(Instant::now())), ended: false, guard };
    let mut client = Side::new(client, &meter.received, &meter.last);
    let mut origin = Side::new(origin, &meter.sent, &meter.last);
    let last = Rc::clone(&meter.last);
    // Cancel-safe: whichever ends first, the other is not polled again, and both connections are closed by dropping them.
    tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut origin, BUFFER, BUFFER) => meter.ended = copied.is_ok(),
        () = silence(&last, idle) => meter.guard.because("upgraded_idle"),
    }
}

/// Ends when nothing was read for so long.
async fn silence(last: &Cell<Instant>, idle: Duration) {
    loop {
        let Some(until) = last.get().checked_add(idle) else { return std::future::pending().await };
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}

/// Tells the guard what was carried, also if the connection is cut from outside.
struct Meter {
    received: Rc<Cell<u64>>,
    sent: Rc<Cell<u64>>,
    last: Rc<Cell<Instant>>,
    /// Both sides said that they were done.
    ended: bool,
    guard: Guard,
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.guard.spliced(self.received.get(), self.sent.get(), self.ended);
    }
}

/// One side's connection, with what was read of it too early, and a count of what is read.
struct Side {
    early: Bytes,
    io: Box<dyn Duplex>,
    read: Rc<Cell<u64>>,
    last: Rc<Cell<Instant>>,
}

impl Side {
    fn new(Switched { io, early }: Switched, read: &Rc<Cell<u64>>, last: &Rc<Cell<Instant>>) -> Self {
        Self { early, io, read: Rc::clone(read), last: Rc::clone(last) }
    }
}

impl AsyncRead for Side {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        } else {
            let length = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(length));
        }
        let read = buf.filled().len() - before;
        if read > 0 {
            self.read.set(self.read.get() + read as u64);
            self.last.set(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
