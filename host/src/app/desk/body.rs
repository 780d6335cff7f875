//! Bodies that never were, and what is left of them when links have had them.

use crate::chain::{Carry, Facts, Fault, Flow, Link, Replace, Report, Room, entire};
use crate::config::Limits;
use crate::message::BodyError;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A message's body while links look at its head.
pub struct Passed {
    /// `None`: the message has none, or not any more.
    flow: Option<Flow>,
    described: bool,
    room: Room,
    /// What a link broke it off by.
    fault: Rc<RefCell<Option<Fault>>>,
}

/// What came out at the other end.
#[derive(Debug, Default)]
pub struct Left {
    pub bytes: Bytes,
    pub trailers: HeaderMap,
    /// It was broken off before its end.
    pub broken: Option<BodyError>,
    /// By this, if a link did.
    pub fault: Option<Fault>,
}

impl Passed {
    /// A request without one.
    pub fn none(limits: &Limits) -> Self {
        let room = Room { each: limits.body_buffer, all: limits.body_buffers };
        Self { flow: None, described: false, room, fault: Rc::default() }
    }

    /// These pieces one after the other, each as if it had come by itself. `stated`: the head says how long it is.
    pub fn of(pieces: &[Bytes], trailers: HeaderMap, stated: bool, limits: &Limits) -> Self {
        let pieces: VecDeque<Bytes> = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
        let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        let stated = stated && trailers.is_none();
        Self { flow: Some(Box::pin(Pieces { pieces, trailers, stated, given: false })), ..Self::none(limits) }
    }

    /// A reply's, there as a whole.
    pub fn whole(bytes: Bytes) -> Self {
        Self { flow: Some(entire(bytes, HeaderMap::new())), ..Self::none(&Limits::default()) }
    }

    /// Of an answer to HEAD.
    #[must_use]
    pub fn described(mut self, described: bool) -> Self {
        self.described = described;
        self
    }

    /// Reads it to its end, through the hands of all links that wanted to have it.
    pub async fn read(&mut self) -> Left {
        let (mut bytes, mut left) = (BytesMut::new(), Left::default());
        let Some(mut flow) = self.flow.take().filter(|_| !self.described) else { return left };
        while let Some(frame) = poll_fn(|cx| flow.as_mut().poll_frame(cx)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(other)) => left.trailers = other.into_trailers().unwrap_or_default(),
                Err(error) => {
                    left.broken = Some(error);
                    break;
                }
            }
        }
        Left { bytes: bytes.freeze(), fault: self.fault.take(), ..left }
    }
}

impl Carry for Passed {
    fn facts(&self) -> Option<Facts> {
        self.flow.as_ref().map(|flow| Facts { length: flow.size_hint().exact(), described: self.described })
    }

    fn take(&mut self) -> Flow {
        self.flow.take().unwrap_or_else(|| entire(Bytes::new(), HeaderMap::new()))
    }

    fn put(&mut self, flow: Flow) {
        self.flow = Some(flow);
    }

    /// It is not read anyway.
    fn undescribe(&mut self) {}

    fn report(&self) -> Report {
        let kept = Rc::clone(&self.fault);
        Rc::new(move |_: &Link, fault: &Fault| drop(kept.replace(Some(fault.clone()))))
    }

    fn room(&self) -> Room {
        self.room
    }
}

impl Replace for Passed {
    fn replace(&mut self, body: Bytes) {
        self.flow = Some(entire(body, HeaderMap::new()));
    }
}

/// Pieces that do not come at once.
struct Pieces {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    stated: bool,
    /// One was given, and whoever asks for the next has to wait: else small ones would be shown together.
    given: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.given && !self.pieces.is_empty() {
            self.given = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.pieces.pop_front() {
            Some(piece) => {
                self.given = true;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        if self.stated { SizeHint::with_exact(length) } else { SizeHint::new() }
    }
}
