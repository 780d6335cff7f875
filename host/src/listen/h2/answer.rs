//! From our answers to hyper's responses.

use super::stream::Stall;
use crate::message::{Answer, BodyError};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A response's body, which tells when it is waiting for the client.
pub struct AnswerBody<B> {
    /// `None`: the response has none. Boxed to be pinned without `unsafe`.
    body: Option<Pin<Box<B>>>,
    stall: Rc<Stall>,
}

impl<B> AnswerBody<B> {
    /// No body.
    pub fn none(stall: Rc<Stall>) -> Self {
        Self { body: None, stall }
    }
}

/// `None`: no response but a reset. Switching protocols is one too: HTTP/2 has no 101 (RFC 9113, section 8.6).
pub fn convert<B: Body>(answer: Answer<B>, head: bool, stall: Rc<Stall>) -> Option<Response<AnswerBody<B>>> {
    let Answer::Respond(response) = answer else { return None };
    let (mut parts, body) = response.into_parts();
    let exact = body.size_hint().exact();
    let bodiless = head || parts.status == StatusCode::NO_CONTENT || parts.status == StatusCode::NOT_MODIFIED;
    let describes = head || parts.status == StatusCode::NOT_MODIFIED;
    // hyper states the length of bodies that are sent.
    if !describes {
        parts.headers.remove(header::CONTENT_LENGTH);
    } else if let Some(length) = exact.filter(|&length| head && length > 0) {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let body = (!bodiless).then(|| Box::pin(body));
    Some(Response::from_parts(parts, AnswerBody { body, stall }))
}

impl<B: Body<Data = Bytes, Error = BodyError>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.stall.asked();
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = body.as_mut().poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = frame {
            self.stall.gave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}
