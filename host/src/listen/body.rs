//! A request's body, whichever protocol it comes in.

use super::h1::Line;
use super::h2::StreamBody;
use crate::message::BodyError;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A request's body. Read from the client's socket by whoever polls it, so it must be polled on the task that the handler runs on.
/// What is not read is drained or cut off after the answer.
pub struct Body(Source);

enum Source {
    Empty,
    Http1 {
        line: Rc<RefCell<Line>>,
        /// Which exchange on the connection this is the body of.
        exchange: u32,
    },
    Http2(Box<StreamBody>),
}

impl Body {
    pub fn empty() -> Self {
        Self(Source::Empty)
    }

    pub(super) fn http1(line: Rc<RefCell<Line>>, exchange: u32) -> Self {
        Self(Source::Http1 { line, exchange })
    }

    pub(super) fn http2(body: StreamBody) -> Self {
        Self(Source::Http2(Box::new(body)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Source::Empty => Poll::Ready(None),
            Source::Http1 { line, exchange } => line.borrow_mut().poll_body(*exchange, cx),
            Source::Http2(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Empty => true,
            Source::Http1 { line, exchange } => line.borrow().body_is_end(*exchange),
            Source::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Empty => SizeHint::with_exact(0),
            Source::Http1 { line, exchange } => line.borrow().body_size(*exchange),
            Source::Http2(body) => body.size_hint(),
        }
    }
}
