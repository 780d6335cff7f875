//! One request on a stream until its response head is there: the body goes out while the answer is awaited, in one task.

use super::connection::Slot;
use super::upload::Upload;
use super::{body, fault};
use crate::message::{BodyError, Interim, ResponseHead};
use crate::upstream::pump::Pump;
use crate::upstream::server::Ticket;
use crate::upstream::transfer::{INTERIM, pass_on};
use crate::upstream::{SendError, Times};
use crate::wire::{Coding, Deadline, HeadLimits, MalformedResponse};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// A request and its response. Dropped before its end, the server is told that nobody waits any more (RST_STREAM with CANCEL).
pub(in crate::upstream) struct Stream<B> {
    pub(super) upload: Upload<B>,
    pub(super) out: SendStream<Bytes>,
    response: ResponseFuture,
    /// Interim responses that came.
    interim: u32,
    /// `None` before the response head.
    pub(super) incoming: Option<RecvStream>,
    /// Bytes handed on of which the server has not been told that there is room again.
    pub(super) taken: usize,
    /// Bytes to come of a response whose length was stated.
    pub(super) left: Option<u64>,
    pub(super) times: Times,
    deadline: Deadline,
    waits: Waits,
    /// Pieces that came in.
    pub(super) pieces: u32,
    /// Pieces both ways when the deadline was set.
    moved: u32,
    /// A recent reading of the clock; used up by the first wait, which follows at once.
    now: Option<Instant>,
    /// What was read on the connection when the request was sent.
    before: u64,
    pub slot: Slot,
    /// Counts the request for as long as its response comes in. After the slot, since fields are dropped in their order and who waits for it
    /// is to find room.
    pub(super) ticket: Option<Ticket>,
}

/// What the deadline is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For more of the request's body, on which others keep an eye.
    Client,
    /// For the server to take more of it.
    Write,
    /// For the response's head.
    Head,
    /// For more of its body.
    Body,
}

/// A response head as received.
#[derive(Debug)]
pub(in crate::upstream) struct Received {
    pub head: ResponseHead,
    /// Of the body, if it was stated; `Some(0)`: there is none.
    pub length: Option<u64>,
}

impl<B> Stream<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Hands the request's head to the connection.
    ///
    /// # Errors
    /// If that takes none any more; nothing was sent.
    pub fn open(
        slot: Slot,
        request: Request<()>,
        (pump, coding): (Pump<B>, Coding),
        times: Times,
        now: Instant,
    ) -> Result<Box<Self>, (Pump<B>, SendError)> {
        let upload = Upload::new(pump, coding);
        let (response, out) = match slot.open(request, upload.is_done()) {
            Ok(opened) => opened,
            Err(error) => {
                slot.connection.leave();
                return Err((upload.pump, fault::sort(error).0));
            }
        };
        Ok(Box::new(Self {
            upload,
            out,
            response,
            interim: 0,
            incoming: None,
            taken: 0,
            left: None,
            times,
            deadline: slot.timer(),
            waits: Waits::Client,
            pieces: 0,
            moved: 0,
            now: Some(now),
            before: slot.read(),
            slot,
            ticket: None,
        }))
    }

    /// Whether the request cannot be sent a second time.
    pub fn is_touched(&self) -> bool {
        self.upload.pump.is_touched()
    }

    /// Ready with the final response's head.
    pub fn poll_head(
        &mut self,
        limits: &HeadLimits,
        (method, interim): (&Method, &Interim),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, SendError>> {
        if let Poll::Ready(Err(error)) = self.upload.poll(&mut self.out, cx) {
            return Poll::Ready(Err(SendError::Client(error)));
        }
        self.poll_interim(limits, interim, cx)?;
        match Pin::new(&mut self.response).poll(cx) {
            Poll::Ready(Ok(response)) => {
                let (parts, incoming) = response.into_parts();
                Poll::Ready(self.receive(parts, incoming, limits, method).map_err(SendError::Malformed))
            }
            Poll::Ready(Err(error)) => {
                let (error, reason) = fault::sort(error);
                match (&error, reason) {
                    (SendError::Refused, Some(Reason::REFUSED_STREAM)) => self.slot.refused(),
                    (SendError::Refused, _) => self.slot.connection.leave(),
                    _ => {}
                }
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_deadline(cx).map(|expired| Err(self.late(expired))),
        }
    }

    /// Passes interim responses on (RFC 9110, section 15.2).
    fn poll_interim(&mut self, limits: &HeadLimits, to: &Interim, cx: &mut Context<'_>) -> Result<(), SendError> {
        // An error is the response's too.
        while let Poll::Ready(Some(Ok(head))) = self.response.poll_informational(cx) {
            let (Parts { status, mut headers, .. }, ()) = head.into_parts();
            check(status, &headers, limits).map_err(SendError::Malformed)?;
            self.interim += 1;
            if self.interim > INTERIM {
                return Err(SendError::Malformed(MalformedResponse::TooManyInterim));
            }
            pass_on(to, status, &mut headers);
        }
        Ok(())
    }

    fn late(&self, expired: Expired) -> SendError {
        if expired == Expired::Exchange {
            return SendError::Expired;
        }
        if self.slot.read() == self.before {
            // Not a word on any stream: whoever comes next should not wait on it too.
            self.slot.connection.leave();
        }
        SendError::ResponseTimeout
    }

    /// As strict as over HTTP/1.1 with what `h2` leaves to its users.
    fn receive(&mut self, parts: Parts, incoming: RecvStream, limits: &HeadLimits, to: &Method) -> Result<Received, MalformedResponse> {
        let Parts { status, mut headers, .. } = parts;
        check(status, &headers, limits)?;
        let described = to == Method::HEAD || status == StatusCode::NOT_MODIFIED;
        let bodiless = described || status == StatusCode::NO_CONTENT;
        let stated = if described { None } else { headers.remove(header::CONTENT_LENGTH) };
        let stated =
            stated.map(|length| length.to_str().ok().and_then(|length| length.parse().ok()).ok_or(MalformedResponse::ContentLength));
        let length = if bodiless || incoming.is_end_stream() { Some(0) } else { stated.transpose()? };
        self.left = length;
        self.incoming = Some(incoming);
        Ok(Received { head: ResponseHead { status, headers }, length })
    }

    /// Ready once a time is over. Time passes only while somebody waits for the server.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let waits = match (&self.incoming, self.upload.is_done(), self.upload.blocked) {
            (Some(_), ..) => Waits::Body,
            (None, true, _) => Waits::Head,
            (None, false, true) => Waits::Write,
            (None, false, false) => Waits::Client,
        };
        let (now, moved) = (self.now.take(), self.upload.pieces.wrapping_add(self.pieces));
        if waits != self.waits || now.is_some() || moved != self.moved {
            (self.waits, self.moved) = (waits, moved);
            let limit = match waits {
                Waits::Client => None,
                Waits::Write | Waits::Body => Some(self.times.idle),
                Waits::Head => Some(self.times.response),
            };
            self.times.arm(&mut self.deadline, limit, now);
        }
        ready!(self.deadline.poll_expired(cx));
        Poll::Ready(if self.times.is_over(&self.deadline) { Expired::Exchange } else { Expired::Wait })
    }

    /// The request as it can be sent again, if it can.
    pub fn into_pump(mut self, coding: Coding) -> Pump<B> {
        self.upload.pump.rewind(coding);
        let Self { upload, slot, deadline, .. } = self;
        slot.rest(deadline);
        upload.pump
    }

    /// Makes of a stream whose response head is read its body.
    pub fn into_body(mut self: Box<Self>, length: Option<u64>, ticket: Ticket, cx: &mut Context<'_>) -> body::Begun<B> {
        self.upload.pump.forget();
        self.ticket = Some(ticket);
        body::begin(self, length, cx)
    }

    /// It is over; another stream may have its timer.
    pub fn rest(self) {
        let Self { slot, deadline, .. } = self;
        slot.rest(deadline);
    }
}

/// Whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Exchange,
    Wait,
}

fn check(status: StatusCode, headers: &HeaderMap, limits: &HeadLimits) -> Result<(), MalformedResponse> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(MalformedResponse::UnexpectedSwitch);
    }
    if headers.len() > limits.count {
        return Err(MalformedResponse::TooManyFields);
    }
    // Four more for `: ` and the line break that each has over HTTP/1.1.
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.fields {
        return Err(MalformedResponse::TooLarge);
    }
    // RFC 9113, section 8.2.1: no white space at either end.
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let sound = |value: &HeaderValue| !blank(value.as_bytes().first()) && !blank(value.as_bytes().last());
    if headers.values().all(sound) { Ok(()) } else { Err(MalformedResponse::Field) }
}
