//! HTTP/2 with clients (RFC 9113), by hyper. Here: its settings, a connection's life, and what hyper leaves to its users: idle
//! connections, clients that take nothing, floods.
//!
//! In reading order: this file, `request` and `answer` (to and from our types), `stream` (a stream's task), `gather` (few
//! writes), `meter` and `frames` (floods), `connect` (WebSockets). `100 Continue` is not offered in this version.

mod answer;
mod connect;
mod frames;
mod gather;
mod meter;
mod request;
mod stream;

pub use request::StreamBody;

use super::accept::Service;
use super::handler::Handler;
use super::shutdown::Entry;
use crate::config::Limits;
use crate::message::Connection;
use crate::wire::Deadline;
use answer::AnswerBody;
use gather::Gathered;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use meter::Metered;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use stream::{Stall, Streams};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Unsent response bytes per stream; twice a TLS record, so that one can be filled while the other is on its way.
const SEND_BUFFER: usize = 32 << 10;
/// What HPACK counts for a field beside its name and value (RFC 7541, section 4.1).
const FIELD_OVERHEAD: usize = 32;
/// A client that was told to go and has no stream open gets this long to answer; chosen arbitrarily.
const LEAVING: Duration = Duration::from_secs(10);

/// Serves one connection to its end.
pub(super) async fn serve<H, I>(io: I, connection: Rc<Connection>, service: &Rc<Service<H>>, entry: &Entry)
where
    H: Handler,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = &*service.limits;
    let streams = Rc::new(Streams::new(limits.body_idle));
    let out = Gathered::new(io);
    let io = TokioIo::new(Metered::new(out.clone(), limits, connection.peer));
    let handle = {
        let (service, connection, streams) = (service.clone(), connection.clone(), streams.clone());
        // Boxed: hyper moves a stream's state about, and this is by far the largest part of it.
        service_fn(move |request| Box::pin(respond(request, connection.clone(), service.clone(), streams.clone())))
    };
    let mut http = pin!(builder(limits, stream::Tasks(streams.clone())).serve_connection(io, handle));
    let mut life = Life::new(limits);
    let mut roused = entry.roused();
    let ended = poll_fn(|cx| {
        // Streams have tasks of their own, which nobody else knows.
        if std::mem::replace(&mut roused, entry.roused()) != entry.roused() {
            streams.rouse();
        }
        loop {
            if let Poll::Ready(ended) = http.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            // An error comes back at hyper's next write or read; pending, this task is woken to go on here.
            let _ = out.poll_send(cx);
            match ready!(life.poll(entry.is_draining(), streams.open(), cx)) {
                Turn::Leave => http.as_mut().graceful_shutdown(),
                Turn::End => return Poll::Ready(Ok(())),
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(peer = %connection.peer, %error, "HTTP/2 connection ended");
    }
}

fn builder(limits: &Limits, tasks: stream::Tasks) -> Builder<stream::Tasks> {
    // The limits proper are held in `request`, so that what is over them gets an answer of ours; this one keeps hyper from holding more.
    let list = limits.header_bytes + limits.request_line + FIELD_OVERHEAD * (limits.header_count + 8);
    let mut builder = Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_frame_size(limits.h2_frame)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_local_resets)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_timeout);
    builder
}

/// One exchange. An error resets the stream.
async fn respond<H: Handler>(
    mut request: Request<Incoming>,
    connection: Rc<Connection>,
    service: Rc<Service<H>>,
    streams: Rc<Streams>,
) -> Result<Response<AnswerBody<H::Body>>, h2::Error> {
    let stall = Stall::of_this_task();
    let head = request.method() == http::Method::HEAD;
    let asked = connect::asked(&mut request);
    let received = request::receive(request, &service.limits);
    let mut answer = service.handler.handle(connection, received).await;
    if let Some(asked) = asked {
        match asked.answer(answer, &streams, &stall) {
            Ok(response) => return Ok(response),
            Err(other) => answer = other,
        }
    }
    answer::convert(answer, head, stall).ok_or_else(|| h2::Reason::INTERNAL_ERROR.into())
}

/// When a connection must go although the client would stay.
struct Life {
    deadline: Deadline,
    keep_alive: Duration,
    /// Since when no stream is open.
    idle_since: Option<Instant>,
    until: Instant,
    leaving: bool,
}

enum Turn {
    /// GOAWAY, and finish what runs.
    Leave,
    /// The client did not react to that.
    End,
}

impl Life {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            deadline: Deadline::default(),
            keep_alive: limits.keep_alive,
            idle_since: Some(now),
            until: now + super::jittered(limits.connection_age),
            leaving: false,
        }
    }

    fn poll(&mut self, draining: bool, open: usize, cx: &mut Context<'_>) -> Poll<Turn> {
        if draining && !self.leaving {
            return Poll::Ready(self.leave());
        }
        if !self.leaving {
            let idle_since = if open > 0 { None } else { Some(self.idle_since.unwrap_or_else(Instant::now)) };
            self.idle_since = idle_since;
            self.deadline.set(idle_since.map_or(self.until, |since| self.until.min(since + self.keep_alive)));
        }
        loop {
            ready!(self.deadline.poll_expired(cx));
            match (self.leaving, open) {
                (false, _) => return Poll::Ready(self.leave()),
                (true, 0) => return Poll::Ready(Turn::End),
                (true, _) => self.deadline.set(Instant::now() + LEAVING),
            }
        }
    }

    fn leave(&mut self) -> Turn {
        self.leaving = true;
        self.deadline.set(Instant::now() + LEAVING);
        Turn::Leave
    }
}
