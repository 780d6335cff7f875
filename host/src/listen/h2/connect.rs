//! Extended CONNECT (RFC 8441): a WebSocket on a stream. What comes out of here is the upgrade of HTTP/1.1 that it stands for, so that
//! routes, links and origins see one kind of WebSocket only.

use super::answer::AnswerBody;
use super::stream::{Stall, Streams, Tasks};
use crate::message::{Answer, Switched};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

/// A stream that will carry another protocol, if the origin agrees.
pub struct Asked(OnUpgrade);

/// Makes the request an upgrade if it is an extended CONNECT for a WebSocket. Others stay what they are, and are refused as CONNECT is.
pub fn asked(request: &mut Request<Incoming>) -> Option<Asked> {
    if request.method() != Method::CONNECT || request.extensions().get::<Protocol>()?.as_str() != "websocket" {
        return None;
    }
    let upgrade = hyper::upgrade::on(&mut *request);
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    // HTTP/2 needs none (section 5), HTTP/1.1 does (RFC 6455, section 4.1).
    if !headers.contains_key(header::SEC_WEBSOCKET_KEY) {
        headers.extend(HeaderValue::try_from(key()).map(|key| (header::SEC_WEBSOCKET_KEY, key)));
    }
    Some(Asked(upgrade))
}

/// 16 bytes that no cache has seen; they protect nothing (RFC 6455, section 10.3).
fn key() -> String {
    let random = || RandomState::new().hash_one(0).to_be_bytes();
    STANDARD.encode([random(), random()].concat())
}

impl Asked {
    /// The response on the stream: 200 instead of 101, after which the stream is the connection (section 5).
    #[allow(clippy::result_large_err, reason = "it is handed on at once")]
    pub fn answer<B>(self, answer: Answer<B>, streams: &Rc<Streams>, stall: &Rc<Stall>) -> Result<Response<AnswerBody<B>>, Answer<B>> {
        match answer {
            Answer::Switch(head, takeover) => {
                // Counts as an open stream for as long as it lasts.
                Tasks(Rc::clone(streams)).execute(async move {
                    match self.0.await {
                        Ok(io) => takeover(Switched { io: Box::new(TokioIo::new(io)), early: Bytes::new() }).await,
                        Err(error) => tracing::debug!(%error, "a stream ended before it could be taken over"),
                    }
                });
                // 200, as every new response is.
                let mut response = Response::new(AnswerBody::none(Rc::clone(stall)));
                *response.headers_mut() = head.into_parts().0.headers;
                for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
                    response.headers_mut().remove(name);
                }
                Ok(response)
            }
            // It would be taken for the beginning of the other protocol, so the stream is reset.
            Answer::Respond(response) if response.status().is_success() => Err(Answer::Abort),
            other => Err(other),
        }
    }
}
