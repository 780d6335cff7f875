//! The response body as it comes from the origin, while the rest of the request body goes there.

use super::Times;
use super::channel::Channel;
use super::h2;
use super::pump::{Pump, Stuck};
use super::server::Ticket;
use crate::message::BodyError;
use crate::wire::{BadBody, Decoded, Decoder};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A response body. Its size hint is exact if the origin stated a length, or if all of it came with the head and no trailers did: for
/// those there is no room beside a stated length.
///
/// Dropped before its end, it closes the connection; at its end the connection goes back to its pool.
pub struct Body<B> {
    /// Received together with the head.
    first: Bytes,
    /// Received together with the head: those of an empty chunked body.
    trailers: Option<Box<HeaderMap>>,
    /// `None` at the end. Boxed, so that a small response that is already complete moves around as little more than its bytes.
    rest: Option<Rest<B>>,
}

/// A body that is still coming in.
enum Rest<B> {
    Http1(Box<Http1<B>>),
    Http2(Box<h2::Stream<B>>),
}

/// One over HTTP/1.1.
struct Http1<B> {
    channel: Box<Channel>,
    decoder: Decoder,
    /// What is left of the request; `None` once it is sent.
    pump: Option<Pump<B>>,
    keep_alive: bool,
    times: Times,
    /// Bytes written when the deadline was set; `None`: it is not set.
    waits: Option<u64>,
    ticket: Ticket,
}

/// A connection whose response head has been read.
pub(super) struct Opened<B> {
    pub channel: Box<Channel>,
    pub decoder: Decoder,
    pub pump: Option<Pump<B>>,
    pub keep_alive: bool,
    pub times: Times,
    pub ticket: Ticket,
}

impl<B> Body<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Takes what came with the head; if that is all, the connection goes back to the pool at once.
    pub(super) fn open(opened: Opened<B>, now: Instant) -> Result<Self, BadBody> {
        let Opened { channel, decoder, pump, keep_alive, times, ticket } = opened;
        let mut rest = Http1 { channel, decoder, pump, keep_alive, times, waits: None, ticket };
        let (first, trailers) = match rest.decoder.decode(&mut rest.channel.read)? {
            Decoded::Data(data) => (data, None),
            Decoded::NeedMore | Decoded::End => (Bytes::new(), None),
            Decoded::Trailers(trailers) => (Bytes::new(), Some(Box::new(trailers))),
        };
        if rest.decoder.ends_here(&mut rest.channel.read) {
            rest.release(now);
            return Ok(Self { first, trailers, rest: None });
        }
        Ok(Self { first, trailers, rest: Some(Rest::Http1(Box::new(rest))) })
    }

    /// As [`Self::open`], over HTTP/2.
    pub(super) fn begin(begun: h2::Begun<B>) -> Self {
        Self { first: begun.first, trailers: None, rest: begun.rest.map(Rest::Http2) }
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let (polled, over) = match rest {
            Rest::Http1(rest) => (rest.poll_frame(cx), rest.decoder.is_end()),
            Rest::Http2(stream) => (stream.poll_frame(cx), stream.is_over()),
        };
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => self.rest = None,
            Poll::Ready(_) if over => {
                if let Some(rest) = self.rest.take() {
                    rest.release();
                }
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.trailers.is_none() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        let rest = self.rest.as_ref().map_or(Some(0), Rest::remaining);
        match rest.filter(|_| self.trailers.is_none()) {
            Some(rest) => SizeHint::with_exact(first.saturating_add(rest)),
            None => {
                let mut hint = SizeHint::new();
                hint.set_lower(first);
                hint
            }
        }
    }
}

impl<B> Rest<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    fn remaining(&self) -> Option<u64> {
        match self {
            Self::Http1(rest) => rest.decoder.remaining(),
            Self::Http2(stream) => stream.remaining(),
        }
    }

    fn release(self) {
        match self {
            Self::Http1(rest) => rest.release(Instant::now()),
            Self::Http2(stream) => stream.rest(),
        }
    }
}

impl<B> Http1<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            self.poll_pump(cx)?;
            match self.decoder.decode(&mut self.channel.read).map_err(|bad| BodyError::OriginMalformed(bad.reason()))? {
                Decoded::Data(data) => {
                    self.decoder.ends_here(&mut self.channel.read);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Decoded::Trailers(trailers) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Decoded::End => return Poll::Ready(None),
                Decoded::NeedMore => {}
            }
            match self.channel.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    self.keep_alive = false;
                    self.decoder.eof().map_err(|_| BodyError::OriginGone(None))?;
                }
                Poll::Ready(Ok(_)) => self.waits = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(BodyError::OriginGone(Some(error.into()))))),
                Poll::Pending => return self.poll_deadline(cx).map(|error| Some(Err(error))),
            }
        }
    }

    fn poll_pump(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(pump) = &mut self.pump else { return Ok(()) };
        match pump.poll(&mut self.channel, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.pump = None,
            Poll::Ready(Err(Stuck::Client(error))) => return Err(error),
            // The server wants no more of the request; its response may still be whole.
            Poll::Ready(Err(Stuck::Origin(_))) => (self.pump, self.keep_alive) = (None, false),
        }
        Ok(())
    }

    /// Time passes only while somebody waits here for the origin, not while the client is slow to take what came.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let taken = self.channel.out.taken();
        if self.waits != Some(taken) {
            self.waits = Some(taken);
            self.times.arm(&mut self.channel.deadline, Some(self.times.idle), None);
        }
        self.channel
            .deadline
            .poll_expired(cx)
            .map(|()| if self.times.is_over(&self.channel.deadline) { BodyError::Expired } else { BodyError::OriginStalled })
    }

    /// The response is over. The connection is kept if both messages are whole and nothing came after.
    fn release(self, now: Instant) {
        if self.keep_alive && self.pump.is_none() && self.channel.read.is_empty() {
            self.ticket.put_back(self.channel, now);
        }
    }
}
