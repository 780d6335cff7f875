//! From what an origin, a link or the proxy itself answered to what the listening wall sends: fields of the origin's connection removed,
//! the body under the exchange's guard.

use super::body::{Content, RequestBody, ResponseBody};
use super::exchange::Guard;
use super::failure::Failure;
use super::grpc;
use super::upgrade;
use crate::message::hop_by_hop::{self, Found, Removed};
use crate::message::{Answer, BodyError, Reply, ResponseHead, Switched};
use crate::upstream::{self, Answered};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use std::time::Duration;

/// A response between its origin and the client, while links look at its head.
pub(super) struct Outbound<B> {
    pub head: ResponseHead,
    pub(super) content: After<B>,
    /// Goes on to the client past the links, which must not see it.
    pub(super) past: Removed,
}

/// What follows the head.
pub(super) enum After<B> {
    Body(Content<B>),
    /// 101, with the protocol switched to.
    Switched(Switched, Option<HeaderValue>),
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Outbound<B> {
    /// What an origin answered.
    pub fn from_origin(answered: Answered<RequestBody<B>>) -> Self {
        let Answered { mut head, content, attempt: _ } = answered;
        let content = match content {
            upstream::Content::Body(body) => After::Body(Content::Streamed(body)),
            upstream::Content::Switched(switched) => After::Switched(switched, head.headers.get(header::UPGRADE).cloned()),
        };
        let found = Found::of(&head.headers);
        let past = hop_by_hop::remove(&mut head.headers, found);
        Self { head, content, past }
    }

    /// What a link or the proxy answered.
    pub fn from_reply(Reply { status, headers, body }: Reply) -> Self {
        Self { head: ResponseHead { status, headers }, content: After::Body(Content::Whole(Some(body))), past: Removed::default() }
    }

    /// The answer for the wall. `idle`: for connections that are upgraded by this.
    pub fn answer(self, mut guard: Guard, idle: Duration) -> Answer<ResponseBody<B>> {
        let Self { head: ResponseHead { mut status, mut headers }, mut content, past } = self;
        if guard.grpc && matches!(content, After::Body(Content::Whole(_))) && grpc::translate(&mut status, &mut headers, guard.reason) {
            content = After::Body(Content::Whole(None));
        }
        match content {
            After::Switched(origin, protocol) => {
                guard.answered(status, None);
                put_back(&mut headers, protocol, header::UPGRADE);
                Answer::Switch(response(status, headers, ()), upgrade::takeover(origin, idle, guard))
            }
            After::Body(content) => {
                guard.answered(status, content.size_hint().exact());
                put_back(&mut headers, past.content_length, header::CONTENT_LENGTH);
                put_back(&mut headers, past.trailer, header::TRAILER);
                Answer::Respond(response(status, headers, ResponseBody::new(content, guard)))
            }
        }
    }
}

/// The answer to a request that no link has seen.
pub(super) fn refuse<B>(mut guard: Guard, failure: &Failure) -> Answer<ResponseBody<B>>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    guard.failed(failure);
    match failure.reply(guard.id) {
        // Nothing is upgraded by a refusal.
        Some(reply) => Outbound::from_reply(reply).answer(guard, Duration::ZERO),
        None => Answer::Abort,
    }
}

fn put_back(headers: &mut HeaderMap, value: Option<HeaderValue>, name: header::HeaderName) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn response<T>(status: StatusCode, headers: HeaderMap, body: T) -> Response<T> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
