//! A request on a connection until its response head is there: the body goes out while the answer is awaited, in one task.

use super::channel::Channel;
use super::pump::{Pump, Stuck};
use super::tls::broken;
use super::{SendError, Times};
use crate::message::hop_by_hop::{self, Found};
use crate::message::{BodyError, Interim};
use crate::wire::{MalformedResponse, ReceivedResponse};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Body;
use std::io;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Interim responses before the final one. More than a few are unheard of; chosen arbitrarily.
pub(super) const INTERIM: u32 = 16;

pub(super) struct Transfer<'a, B> {
    pub channel: Box<Channel>,
    pub pump: Pump<B>,
    /// All of the request is written, or no more can be.
    pub sent: bool,
    /// Why no more could be written. A server that refuses a body may answer and close, so what it said is read first.
    pub broken: Option<io::Error>,
    method: &'a Method,
    to: &'a Interim,
    times: Times,
    interim: u32,
    waits: Waits,
    /// A recent reading of the clock; used up by the first wait, which follows at once.
    now: Option<Instant>,
}

/// What the deadline is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For more of the request's body, on which others keep an eye.
    Client,
    /// For the server to take more than this many bytes.
    Write(u64),
    /// For the response.
    Head,
}

impl<'a, B> Transfer<'a, B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// The request's head waits in `channel.out`.
    pub fn new(channel: Box<Channel>, pump: Pump<B>, (method, to): (&'a Method, &'a Interim), times: Times, now: Instant) -> Self {
        Self { channel, pump, sent: false, broken: None, method, to, times, interim: 0, waits: Waits::Client, now: Some(now) }
    }

    pub fn times(&self) -> Times {
        self.times
    }

    /// Whether the server has not said a word.
    pub fn is_unanswered(&self) -> bool {
        self.channel.read.is_empty() && self.interim == 0
    }

    /// Ready with the final response's head, or 101.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReceivedResponse, SendError>> {
        loop {
            if !self.sent {
                match self.pump.poll(&mut self.channel, cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(())) => self.sent = true,
                    Poll::Ready(Err(Stuck::Client(error))) => return Poll::Ready(Err(SendError::Client(error))),
                    Poll::Ready(Err(Stuck::Origin(error))) => (self.sent, self.broken) = (true, Some(error)),
                }
            }
            match self.channel.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.broken.take().map_or(SendError::Reset(None), broken))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(error))),
                Poll::Ready(Ok(_)) => {
                    if let Some(head) = self.parse()? {
                        return Poll::Ready(Ok(head));
                    }
                }
                Poll::Pending => return self.poll_deadline(cx).map(Err),
            }
        }
    }

    /// Passes interim responses on (RFC 9110, section 15.2).
    fn parse(&mut self) -> Result<Option<ReceivedResponse>, MalformedResponse> {
        while let Some(mut head) = self.channel.parser.response(&mut self.channel.read, self.method)? {
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Some(head));
            }
            self.interim += 1;
            if self.interim > INTERIM {
                return Err(MalformedResponse::TooManyInterim);
            }
            pass_on(self.to, head.status, &mut head.headers);
        }
        Ok(None)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<SendError> {
        let waits = match (self.sent, self.channel.has_unsent()) {
            (true, _) => Waits::Head,
            (false, true) => Waits::Write(self.channel.out.taken()),
            (false, false) => Waits::Client,
        };
        let now = self.now.take();
        if waits != self.waits || now.is_some() {
            self.waits = waits;
            let limit = match waits {
                Waits::Client => None,
                Waits::Write(_) => Some(self.times.idle),
                Waits::Head => Some(self.times.response),
            };
            self.times.arm(&mut self.channel.deadline, limit, now);
        }
        self.channel
            .deadline
            .poll_expired(cx)
            .map(|()| if self.times.is_over(&self.channel.deadline) { SendError::Expired } else { SendError::ResponseTimeout })
    }
}

/// An interim response as it is for the client.
pub(super) fn pass_on(to: &Interim, status: StatusCode, headers: &mut HeaderMap) {
    let found = Found::of(headers);
    hop_by_hop::remove(headers, found);
    to.pass(status, headers);
}
