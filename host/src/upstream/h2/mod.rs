//! HTTP/2 with servers (RFC 9113): many requests at once on few connections.
//!
//! By crate `h2` itself and not by hyper's client on top of it, which has a task and two channels for each request. Here a request is
//! driven by whoever polls it, as over HTTP/1.1; only a connection has a task, because its frames are for all of its requests.
//!
//! In reading order: `connections` (those of one server, and who makes another), `connection` (one, with its task), `io` (its bytes),
//! `request` (heads out), `upload` (bodies out), `stream` (one request until its response head), `body` (its response body), `fault` (what
//! errors mean), `ask` (one request on a connection of its own, for health checks).

mod ask;
mod body;
mod connection;
mod connections;
mod fault;
mod io;
mod request;
mod stream;
mod upload;

pub(super) use ask::ask;
pub(super) use body::Begun;
pub(super) use connection::{H2Connection, Slot};
pub(super) use connections::{Connections, Joined};
pub(super) use fault::is_unprocessed;
pub(super) use request::head;
pub(super) use stream::{Received, Stream};

use crate::config::Limits;
use std::time::Duration;

/// What holds for all connections of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    /// Streams open at once on a connection, if the server allows as many.
    streams: u32,
    stream_window: u32,
    connection_window: u32,
    frame: u32,
    /// Of a response head, as HPACK counts.
    head_list: u32,
    ping_interval: Duration,
    ping_timeout: Duration,
    local_resets: usize,
}

/// What HPACK counts for a field beside its name and value (RFC 7541, section 4.1).
const FIELD_OVERHEAD: usize = 32;

impl Settings {
    pub fn of(limits: &Limits) -> Self {
        // As for clients: what is over the limits proper is told apart from what h2 would not even hold.
        let list = limits.header_bytes + FIELD_OVERHEAD * (limits.header_count + 8);
        Self {
            streams: limits.h2_streams,
            stream_window: limits.h2_stream_window,
            connection_window: limits.h2_connection_window,
            frame: limits.h2_frame,
            head_list: u32::try_from(list).unwrap_or(u32::MAX),
            ping_interval: limits.h2_ping_interval,
            ping_timeout: limits.h2_ping_timeout,
            local_resets: limits.h2_local_resets,
        }
    }

    /// Before the server has said how many streams it takes, it is taken to allow as many as we would use; what it refuses is sent again.
    fn builder(&self) -> h2::client::Builder {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(self.streams as usize)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.frame)
            .max_header_list_size(self.head_list)
            .max_send_buffer_size(SEND_BUFFER)
            .max_local_error_reset_streams(Some(self.local_resets));
        builder
    }
}

/// Unsent request bytes per stream; as many as a server's usual window takes at once.
const SEND_BUFFER: usize = 64 << 10;
