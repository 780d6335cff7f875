//! Bodies on their way through: handed on as they come, counted if somebody wants to know.

use super::carried::Carried;
use super::exchange::Guard;
use super::grpc;
use super::mirror::Copying;
use crate::chain::Flow;
use crate::message::BodyError;
use crate::upstream;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A request's body on its way out.
pub struct RequestBody<B> {
    inner: Carried<B>,
    received: Option<Rc<Cell<u64>>>,
    /// `None`: no copy is made.
    copy: Option<Box<Copying>>,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> RequestBody<B> {
    pub(super) fn new(inner: Carried<B>, received: Option<Rc<Cell<u64>>>, copy: Option<Box<Copying>>) -> Self {
        Self { inner, received, copy }
    }

    /// The copy gets what has come, and goes out at the end.
    fn copied(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>) {
        let Some(mut copy) = self.copy.take() else { return };
        match polled {
            Poll::Pending => self.copy = Some(copy),
            Poll::Ready(None) => copy.send(),
            Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(Some(Ok(frame))) => match copy.take(frame) {
                true if self.inner.is_end_stream() => copy.send(),
                true => self.copy = Some(copy),
                false => {}
            },
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let (Some(received), Poll::Ready(Some(Ok(frame)))) = (&self.received, &polled) {
            received.set(received.get() + frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        if self.copy.is_some() {
            self.copied(&polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response's body on its way back; the exchange ends with it.
pub struct ResponseBody<B> {
    content: Content<B>,
    guard: Guard,
}

/// Where a response's body comes from.
pub(super) enum Content<B> {
    Streamed(upstream::Body<RequestBody<B>>),
    /// Made here; `None`: taken.
    Whole(Option<Bytes>),
    /// What links make of it.
    Flow(Flow),
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> ResponseBody<B> {
    pub(super) fn new(content: Content<B>, guard: Guard) -> Self {
        Self { content, guard }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.content {
            Content::Streamed(body) => Pin::new(body).poll_frame(cx),
            Content::Flow(flow) => flow.as_mut().poll_frame(cx),
            Content::Whole(bytes) => Poll::Ready(bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes)))),
        };
        if let (true, Poll::Ready(frame)) = (self.guard.is_recording(), &polled) {
            self.guard.sent(frame.as_ref());
            // The wall need not ask again to know that this was the last.
            if self.content.is_end_stream() && !matches!(frame, Some(Err(_))) {
                self.guard.sent(None);
            }
        }
        if let (true, Poll::Ready(Some(Err(error)))) = (self.guard.grpc, &polled)
            && let Some(trailers) = grpc::cut_off(error)
        {
            self.content = Content::Whole(None);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Content<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streamed(body) => body.is_end_stream(),
            Self::Flow(flow) => flow.is_end_stream(),
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streamed(body) => body.size_hint(),
            Self::Flow(flow) => flow.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
