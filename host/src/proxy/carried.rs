//! Bodies between the corridor and the links that want to see them. Where no link does, a body stays what it was, and costs a look at
//! a tag.

use super::body::{Content, RequestBody};
use super::exchange::Ledger;
use super::outbound::{After, Outbound};
use crate::chain::{Carry, Facts, Fault, Flow, Link, Replace, Report, Room, entire};
use crate::config::Limits;
use crate::message::hop_by_hop::Removed;
use crate::message::{BodyError, ExchangeId, ResponseHead};
use crate::upstream;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A request's body: the client's, or what links make of it.
pub(super) enum Carried<B> {
    Own(B),
    Flow(Flow),
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Carried<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(cx),
            Self::Flow(flow) => flow.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Flow(flow) => flow.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Flow(flow) => flow.size_hint(),
        }
    }
}

/// What links that look at bodies need to know of the exchange around them.
pub(super) struct Terms<'a> {
    pub ledger: &'a Rc<Ledger>,
    pub id: ExchangeId,
    pub limits: &'a Limits,
}

impl Terms<'_> {
    fn report(&self) -> Report {
        let (ledger, id) = (Rc::clone(self.ledger), self.id);
        Rc::new(move |link: &Link, fault: &Fault| ledger.fault(id, link, fault))
    }

    fn room(&self) -> Room {
        Room { each: self.limits.body_buffer, all: self.limits.body_buffers }
    }
}

fn nothing() -> Flow {
    entire(Bytes::new(), HeaderMap::new())
}

/// A request's body while links look at its head.
pub(super) struct Incoming<'a, B> {
    pub body: Carried<B>,
    pub terms: Terms<'a>,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Carry for Incoming<'_, B> {
    fn facts(&self) -> Option<Facts> {
        let there = !self.body.is_end_stream();
        there.then(|| Facts { length: self.body.size_hint().exact(), described: false })
    }

    fn take(&mut self) -> Flow {
        match std::mem::replace(&mut self.body, Carried::Flow(nothing())) {
            Carried::Own(body) => Box::pin(body),
            Carried::Flow(flow) => flow,
        }
    }

    fn put(&mut self, flow: Flow) {
        self.body = Carried::Flow(flow);
    }

    fn undescribe(&mut self) {}

    fn report(&self) -> Report {
        self.terms.report()
    }

    fn room(&self) -> Room {
        self.terms.room()
    }
}

/// A response's body while links look at its head.
pub(super) struct Outgoing<'a, B> {
    content: &'a mut After<B>,
    past: &'a mut Removed,
    /// The request was HEAD.
    head: bool,
    terms: Terms<'a>,
}

impl<B> Outbound<B> {
    /// Its head, and its body for those who look at it. `head`: the request was HEAD.
    pub fn carried<'a>(&'a mut self, head: bool, terms: Terms<'a>) -> (&'a mut ResponseHead, Outgoing<'a, B>) {
        (&mut self.head, Outgoing { content: &mut self.content, past: &mut self.past, head, terms })
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Carry for Outgoing<'_, B> {
    fn facts(&self) -> Option<Facts> {
        let After::Body(content) = &*self.content else { return None };
        let stated = self.past.content_length.as_ref().and_then(|length| length.to_str().ok()?.parse().ok());
        Some(Facts { length: stated.or_else(|| content.size_hint().exact()), described: self.head })
    }

    fn take(&mut self) -> Flow {
        let taken = std::mem::replace(self.content, After::Body(Content::Whole(None)));
        match taken {
            After::Body(Content::Streamed(body)) => Box::pin(body) as Pin<Box<upstream::Body<RequestBody<B>>>>,
            After::Body(Content::Whole(bytes)) => entire(bytes.unwrap_or_default(), HeaderMap::new()),
            After::Body(Content::Flow(flow)) => flow,
            switched @ After::Switched(..) => {
                *self.content = switched;
                nothing()
            }
        }
    }

    fn put(&mut self, flow: Flow) {
        if matches!(self.content, After::Body(_)) {
            *self.content = After::Body(Content::Flow(flow));
        }
    }

    fn undescribe(&mut self) {
        self.past.content_length = None;
        self.put(Box::pin(Undescribed));
    }

    fn report(&self) -> Report {
        self.terms.report()
    }

    fn room(&self) -> Room {
        self.terms.room()
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Replace for Outgoing<'_, B> {
    /// The origin's body, if there was one, is not read any more.
    fn replace(&mut self, body: Bytes) {
        *self.content = After::Body(Content::Whole(Some(body)));
        *self.past = Removed::default();
    }
}

/// In the place of a body that is not sent, and of which nobody knows how long it would be.
struct Undescribed;

impl Body for Undescribed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(None)
    }
}
