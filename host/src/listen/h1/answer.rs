//! The answer on its way out: which coding its body gets, and the sending with back-pressure.

use super::line::Line;
use crate::message::BodyError;
use crate::wire::{Coding, Encoder, Outbox, WrongLength};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header};
use http_body::{Body, SizeHint};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

/// Head and body up to this size leave in one write; above it, what waits is written before the body is asked for more.
const WINDOW: usize = 16 << 10;

thread_local! {
    /// One outbox for all connections of the worker that are not just waiting for a slow client: an idle connection holds none.
    static SPARE: Cell<Outbox> = Cell::new(Outbox::default());
}

pub(super) fn take_outbox() -> Outbox {
    SPARE.take()
}

/// Gives back an outbox that was written to the end.
pub(super) fn return_outbox(mut outbox: Outbox) {
    outbox.clear();
    SPARE.set(outbox);
}

/// How the body is framed, and whether it is sent at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub coding: Coding,
    pub bodiless: bool,
}

impl Shape {
    /// For a response to a request of this method and version (RFC 9112, section 6.3). Removes a `Content-Length` that must not be there.
    pub fn of(method: &Method, version: Version, status: StatusCode, headers: &mut HeaderMap, size: SizeHint) -> Self {
        let exact = size.exact();
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            headers.remove(header::CONTENT_LENGTH);
            return Self { coding: Coding::None, bodiless: true };
        }
        if status == StatusCode::NOT_MODIFIED {
            return Self { coding: Coding::None, bodiless: true };
        }
        if method == Method::HEAD {
            // A length of zero would be a lie: an origin that states none sends an empty body all the same.
            let described = !headers.contains_key(header::CONTENT_LENGTH);
            let coding = exact.filter(|&length| described && length > 0).map_or(Coding::None, Coding::Length);
            return Self { coding, bodiless: true };
        }
        let coding = match exact {
            Some(length) => Coding::Length(length),
            None if version == Version::HTTP_10 => Coding::UntilClose,
            None => Coding::Chunked,
        };
        Self { coding, bodiless: false }
    }
}

/// Why an answer could not be sent to its end.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The handler's body failed or was of another length than announced: the client must notice.
    Body,
    /// The client is gone or takes nothing.
    Client,
}

impl From<BodyError> for Unsent {
    fn from(_told_elsewhere: BodyError) -> Self {
        Self::Body
    }
}

impl From<WrongLength> for Unsent {
    fn from(_: WrongLength) -> Self {
        tracing::warn!("a response body is not of the length that its size hint announced");
        Self::Body
    }
}

impl From<io::Error> for Unsent {
    fn from(_: io::Error) -> Self {
        Self::Client
    }
}

/// Sends what is in `out` (the head) and then the body. Back-pressure: the body is not polled while more than a window waits.
/// `Ok(true)`: it could not all be sent at once.
pub(super) async fn send<B>(line: &RefCell<Line>, out: &mut Outbox, shape: Shape, body: B) -> Result<bool, Unsent>
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let mut sending = Sending { encoder: Encoder::new(shape.coding), over: shape.bodiless };
    let mut body = pin!(body);
    let mut polls = 0u64;
    poll_fn(|cx| {
        polls += 1;
        loop {
            let waits = sending.poll_gather(body.as_mut(), out, cx)?.is_pending();
            // Not `Ready(Ok)`: what is written may be all there is for a while, and the client must get it now.
            ready!(line.borrow_mut().poll_write(out, cx))?;
            if sending.over {
                return Poll::Ready(Ok(()));
            }
            if waits {
                ready!(line.borrow_mut().poll_gone(cx));
                return Poll::Ready(Err(Unsent::Client));
            }
        }
    })
    .await?;
    Ok(polls > 1)
}

struct Sending {
    encoder: Encoder,
    over: bool,
}

impl Sending {
    /// Moves pieces of the body to `out` until it is over, a window is full, or (pending) the body has no more for now.
    fn poll_gather<B>(&mut self, mut body: Pin<&mut B>, out: &mut Outbox, cx: &mut Context<'_>) -> Result<Poll<()>, Unsent>
    where
        B: Body<Data = Bytes, Error = BodyError>,
    {
        while !self.over && out.len() < WINDOW {
            let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else { return Ok(Poll::Pending) };
            match frame.transpose()?.map(http_body::Frame::into_data) {
                Some(Ok(data)) => self.encoder.data(data, out)?,
                Some(Err(other)) => {
                    if let Ok(trailers) = other.into_trailers() {
                        self.end(Some(&trailers), out)?;
                    }
                }
                None => self.end(None, out)?,
            }
            if !self.over && body.is_end_stream() {
                self.end(None, out)?;
            }
        }
        Ok(Poll::Ready(()))
    }

    fn end(&mut self, trailers: Option<&HeaderMap>, out: &mut Outbox) -> Result<(), Unsent> {
        self.over = true;
        Ok(self.encoder.end(trailers, out)?)
    }
}
