//! What a stream says to the client: interim responses, a response, a reset. Shared by the stream's task, the request's body (which asks
//! for more of itself) and whoever passes on what a server said ahead.

use crate::message::Herald;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response, StatusCode};
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

pub struct Reply {
    respond: RefCell<SendResponse<Bytes>>,
    /// The response has begun; nothing goes before it any more.
    begun: Cell<bool>,
}

impl Reply {
    pub fn new(respond: SendResponse<Bytes>) -> Self {
        Self { respond: RefCell::new(respond), begun: Cell::new(false) }
    }

    /// Sends a head; `ends`: that is all.
    ///
    /// # Errors
    /// If the stream or the connection is over, or the head has fields that HTTP/2 forbids (RFC 9113, section 8.2.2); the stream is then
    /// reset.
    pub fn send(&self, head: Response<()>, ends: bool) -> Result<SendStream<Bytes>, h2::Error> {
        self.begun.set(true);
        // By itself, so that nobody holds what a reset needs.
        let sent = self.respond.borrow_mut().send_response(head, ends);
        sent.inspect_err(|error| {
            tracing::debug!(%error, "a response could not be sent");
            self.reset();
        })
    }

    /// Neither answer nor end.
    pub fn reset(&self) {
        self.begun.set(true);
        self.respond.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
    }

    /// Ready when the client wants no answer any more.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }

    /// Tells the client to go on with its body (RFC 9110, section 10.1.1).
    pub fn ask_for_more(&self) {
        self.interim(0, StatusCode::CONTINUE, &HeaderMap::new());
    }
}

impl Herald for Reply {
    fn interim(&self, _only_one: u32, status: StatusCode, headers: &HeaderMap) {
        if self.begun.get() {
            return;
        }
        let mut head = Response::new(());
        *head.status_mut() = status;
        headers.clone_into(head.headers_mut());
        if let Err(error) = self.respond.borrow_mut().send_informational(head) {
            tracing::debug!(%error, "an interim response could not be sent");
        }
    }
}
