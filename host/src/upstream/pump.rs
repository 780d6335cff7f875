//! The request's way out: takes its body piece by piece and writes it to a connection as fast as that takes it.

use super::channel::Channel;
use crate::message::BodyError;
use crate::wire::{Coding, Encoder, WrongLength};
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub(super) struct Pump<B> {
    /// `None` once all of it is queued or written.
    body: Option<B>,
    encoder: Encoder,
    /// A piece of the body has been taken: it cannot be sent a second time.
    touched: bool,
}

/// Why the rest of a request cannot be sent.
pub(super) enum Stuck {
    Client(BodyError),
    /// The connection broke. The server may have answered before that.
    Origin(io::Error),
}

/// Pieces are gathered up to here before they are written.
const BATCH: usize = 16 << 10;

impl<B> Pump<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    pub fn new(body: B, coding: Coding) -> Self {
        let body = (!matches!(coding, Coding::None | Coding::Length(0))).then_some(body);
        Self { body, encoder: Encoder::new(coding), touched: false }
    }

    /// For a request that has none, sent beside another.
    pub fn bodiless(coding: Coding) -> Self {
        Self { body: None, encoder: Encoder::new(coding), touched: false }
    }

    pub fn is_touched(&self) -> bool {
        self.touched
    }

    /// Ready once everything is written. The head waits in `channel.out` at the first call and leaves with the body's first pieces, if
    /// those are there.
    pub fn poll(&mut self, channel: &mut Channel, cx: &mut Context<'_>) -> Poll<Result<(), Stuck>> {
        loop {
            let starved = self.fill(channel, cx)?;
            ready!(channel.poll_flush(cx)).map_err(Stuck::Origin)?;
            match self.body {
                None => return Poll::Ready(Ok(())),
                Some(_) if starved => return Poll::Pending,
                Some(_) => {}
            }
        }
    }

    /// Queues pieces until there are enough for one write; `true`: there are no more for now.
    fn fill(&mut self, channel: &mut Channel, cx: &mut Context<'_>) -> Result<bool, Stuck> {
        while channel.out.len() < BATCH {
            let Some(body) = &mut self.body else { break };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end(channel, None)?,
                Poll::Ready(Some(frame)) => {
                    self.touched = true;
                    self.queue(channel, frame.map_err(Stuck::Client)?)?;
                }
            }
        }
        Ok(false)
    }

    fn queue(&mut self, channel: &mut Channel, frame: Frame<Bytes>) -> Result<(), Stuck> {
        match frame.into_data() {
            Ok(data) => {
                self.encoder.data(data, &mut channel.out)?;
                // Asking now lets the end leave with the last piece.
                if self.body.as_ref().is_some_and(Body::is_end_stream) { self.end(channel, None) } else { Ok(()) }
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => self.end(channel, Some(&trailers)),
                Err(_) => Ok(()),
            },
        }
    }

    fn end(&mut self, channel: &mut Channel, trailers: Option<&http::HeaderMap>) -> Result<(), Stuck> {
        self.body = None;
        self.encoder.end(trailers, &mut channel.out)?;
        Ok(())
    }
}

impl From<WrongLength> for Stuck {
    fn from(_: WrongLength) -> Self {
        Self::Client(BodyError::ClientMalformed("the body's length differs from its Content-Length"))
    }
}

/// How the request's body is framed on its way out (RFC 9112, section 6.1; RFC 9110, section 8.6 on requests without one).
pub(super) fn coding<B: Body>(method: &Method, body: &B) -> Coding {
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    match length {
        Some(0) if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Coding::Length(0),
        Some(0) => Coding::None,
        Some(length) => Coding::Length(length),
        None => Coding::Chunked,
    }
}
