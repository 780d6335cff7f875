//! HTTP/2 with clients (RFC 9113), by crate `h2` itself: hyper's server on top of it can send no interim responses. Here: its settings, a
//! connection's life, and what `h2` leaves to its users: idle connections, clients that take nothing, floods.
//!
//! In reading order: this file, `stream` (a stream's task), `request` and `answer` (to and from our types), `reply` (what a stream says),
//! `pulse` (whether the client lives), `gather` (few writes), `meter` and `frames` (floods), `connect` (WebSockets).

mod answer;
mod connect;
mod frames;
mod gather;
mod meter;
mod pulse;
mod reply;
mod request;
mod stream;

pub use request::StreamBody;

use super::accept::Service;
use super::handler::Handler;
use super::shutdown::Entry;
use crate::config::Limits;
use crate::message::Connection;
use crate::wire::Deadline;
use bytes::Bytes;
use gather::Gathered;
use h2::server::{self, Builder, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use meter::Metered;
use pulse::Pulse;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use stream::Streams;
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
    let streams = Rc::new(Streams::default());
    let out = Gathered::new(io);
    let io = Metered::new(out.clone(), limits, connection.peer);
    let pulse = Pulse::new(limits, io.heard());
    let mut http = Http::Greeting { handshake: builder(limits).handshake(io), pulse: Some(pulse), leaving: false };
    let mut life = Life::new(limits);
    let mut roused = entry.roused();
    let begin = |request, respond| stream::begin(request, respond, (&connection, service), &streams);
    let ended = poll_fn(|cx| {
        // Streams have tasks of their own, which nobody else knows.
        if std::mem::replace(&mut roused, entry.roused()) != entry.roused() {
            streams.rouse();
        }
        loop {
            if let Poll::Ready(ended) = http.poll(begin, cx) {
                return Poll::Ready(ended);
            }
            // An error comes back at the next write or read above; pending, this task is woken to go on here.
            let _ = out.poll_send(cx);
            match ready!(life.poll(entry.is_draining(), streams.open(), cx)) {
                Turn::Leave => http.leave(),
                Turn::End => return Poll::Ready(Ok(())),
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(peer = %connection.peer, %error, "HTTP/2 connection ended");
    }
}

fn builder(limits: &Limits) -> Builder {
    // The limits proper are held in `request`, so that what is over them gets an answer of ours; this one keeps `h2` from holding more.
    let list = limits.header_bytes + limits.request_line + FIELD_OVERHEAD * (limits.header_count + 8);
    let mut builder = Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(limits.h2_streams)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_frame_size(limits.h2_frame)
        .max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(Some(limits.h2_local_resets))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// A connection as `h2` sees it.
enum Http<I> {
    /// Until the client's preface is there.
    Greeting {
        handshake: Handshake<I, Bytes>,
        pulse: Option<Pulse>,
        leaving: bool,
    },
    Serving {
        connection: server::Connection<I, Bytes>,
        pulse: Pulse,
    },
}

impl<I: AsyncRead + AsyncWrite + Unpin> Http<I> {
    /// Hands each new stream to `begin`, and is ready when the connection is over.
    fn poll<F>(&mut self, mut begin: F, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>>
    where
        F: FnMut(Request<RecvStream>, SendResponse<Bytes>),
    {
        if let Self::Greeting { handshake, pulse, leaving } = self {
            let mut connection = ready!(Pin::new(handshake).poll(cx))?;
            let Some(pulse) = pulse.take().and_then(|pulse| pulse.begin(&mut connection)) else { return Poll::Ready(Ok(())) };
            if *leaving {
                connection.graceful_shutdown();
            }
            *self = Self::Serving { connection, pulse };
        }
        let Self::Serving { connection, pulse } = self else { return Poll::Pending };
        while let Poll::Ready(accepted) = connection.poll_accept(cx) {
            match accepted.transpose()? {
                Some((request, respond)) => begin(request, respond),
                None => return Poll::Ready(Ok(())),
            }
        }
        ready!(pulse.poll_stopped(cx));
        connection.abrupt_shutdown(Reason::NO_ERROR);
        let _ = connection.poll_accept(cx);
        Poll::Ready(Ok(()))
    }

    /// No new streams; those that are open are finished.
    fn leave(&mut self) {
        match self {
            Self::Greeting { leaving, .. } => *leaving = true,
            Self::Serving { connection, .. } => connection.graceful_shutdown(),
        }
    }
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
