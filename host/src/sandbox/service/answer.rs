//! A guest that runs, and the body of its answer, which drives it: no faster than the answer is taken, and no longer than somebody wants it.

use super::meter::Meter;
use super::{Broken, Shared};
use crate::chain::Cause;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// The answer broke off. Why stands in the log.
#[derive(Debug, thiserror::Error)]
#[error("the service broke off its answer")]
pub struct AnswerError;

/// One request's guest.
pub(super) struct Running {
    guest: Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>,
    meter: Arc<Meter>,
    shared: Arc<Shared>,
    /// If its limits have a time.
    until: Option<Pin<Box<Sleep>>>,
}

impl Running {
    pub(super) fn new(guest: Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>, meter: Arc<Meter>, shared: &Arc<Shared>) -> Self {
        let time = shared.limits.time;
        let until = (time != Duration::MAX).then(|| Box::pin(sleep(time)));
        Self { guest, meter, shared: Arc::clone(shared), until }
    }

    /// Not to be called again once it is ready.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
            let detail = format!("more than {:?}, waiting included", self.shared.limits.time);
            return Poll::Ready(Err(Broken { cause: Cause::Timeout, detail }));
        }
        self.shared.ticker.rouse();
        self.meter.resume();
        let polled = self.guest.as_mut().poll(cx);
        self.meter.pause();
        polled
    }
}

/// The body of a service's answer. Dropped before its end, it ends the guest; so does its end, if the guest has not ended by then.
pub struct Answer {
    body: HyperOutgoingBody,
    /// `None`: it has ended.
    running: Option<Running>,
    shared: Arc<Shared>,
}

impl Answer {
    pub(super) fn new(body: HyperOutgoingBody, running: Option<Running>, shared: Arc<Shared>) -> Self {
        Self { body, running, shared }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        let this = &mut *self;
        match this.running.as_mut().map(|running| running.poll(cx)) {
            None | Some(Poll::Pending) => {}
            Some(Poll::Ready(Ok(()))) => this.running = None,
            Some(Poll::Ready(Err(broken))) => {
                this.running = None;
                this.shared.say(&broken);
                return Poll::Ready(Some(Err(AnswerError)));
            }
        }
        Pin::new(&mut this.body).poll_frame(cx).map_err(|error| {
            let detail = format!("its answer ended early: {error}");
            this.shared.say(&Broken::bad_output(detail));
            AnswerError
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
