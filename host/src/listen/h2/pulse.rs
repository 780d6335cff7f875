//! Whether the client lives: one from which nothing has come for a while is asked (PING, RFC 9113, section 6.7), and must answer.

use crate::config::Limits;
use crate::wire::Deadline;
use bytes::Bytes;
use h2::server::Connection;
use h2::{Ping, PingPong};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub struct Pulse {
    /// `None` before the connection has begun.
    ping: Option<PingPong>,
    /// How often something was read.
    heard: Rc<Cell<u32>>,
    /// That, when the clock was last looked at.
    seen: u32,
    /// An answer is awaited.
    asked: bool,
    deadline: Deadline,
    interval: Duration,
    timeout: Duration,
}

impl Pulse {
    pub fn new(limits: &Limits, heard: Rc<Cell<u32>>) -> Self {
        let (interval, timeout) = (limits.h2_ping_interval, limits.h2_ping_timeout);
        Self { ping: None, heard, seen: 0, asked: false, deadline: Deadline::default(), interval, timeout }
    }

    /// The handshake is over. `None`: somebody else asks already, which cannot be.
    pub fn begin<I: AsyncRead + AsyncWrite + Unpin>(mut self, connection: &mut Connection<I, Bytes>) -> Option<Self> {
        self.ping = Some(connection.ping_pong()?);
        self.seen = self.heard.get();
        self.deadline.set(Instant::now() + self.interval);
        Some(self)
    }

    /// Ready when the client has not answered in time.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ping) = &mut self.ping else { return Poll::Pending };
        if self.asked && ping.poll_pong(cx).is_ready() {
            self.asked = false;
        }
        loop {
            ready!(self.deadline.poll_expired(cx));
            let heard = self.heard.get();
            let quiet = std::mem::replace(&mut self.seen, heard) == heard;
            if quiet && self.asked {
                return Poll::Ready(());
            }
            let pause = if quiet {
                // An error means that the connection is ending, which it will say itself.
                self.asked = ping.send_ping(Ping::opaque()).is_ok();
                self.timeout
            } else {
                self.interval
            };
            self.deadline.set(Instant::now() + pause);
        }
    }
}
