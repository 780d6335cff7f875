//! `[limits]`: every limit and timeout that holds when nothing is written, with its reason (design: defaults.md).

use std::time::Duration;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Limits of the process as a whole. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Method, target and version. Longer → 414.
    pub request_line: usize,
    /// All header fields, names and values, on every protocol. More → 431.
    pub header_bytes: usize,
    /// Header field lines, cookie crumbs counted. More → 431.
    pub header_count: usize,
    /// Names with `_` or `.` that are let through, lower case; others are dropped.
    pub odd_header_names: Vec<String>,
    /// A body may pause this long.
    pub body_idle: Duration,
    /// What a plugin may buffer of one body, bytes.
    pub body_buffer: usize,
    /// What may be buffered of all bodies of the process together, bytes.
    pub body_buffers: usize,
    /// Copies of requests (`mirror`) that run at once, on each worker.
    pub mirrors: usize,
    /// TLS handshake, in total.
    pub tls_handshake: Duration,
    /// PROXY header, in total, from the listener's accept.
    pub proxy_header: Duration,
    /// Request head, in total, from its first byte. Longer → 408.
    pub header_read: Duration,
    /// A client connection may stay idle this long between requests.
    pub keep_alive: Duration,
    pub keep_alive_requests: u32,
    /// A client connection is closed after this time, ± 10 %.
    pub connection_age: Duration,
    pub h2_streams: u32,
    pub h2_stream_window: u32,
    pub h2_connection_window: u32,
    pub h2_frame: u32,
    pub h2_ping_interval: Duration,
    pub h2_ping_timeout: Duration,
    pub h2_pending_resets: usize,
    pub h2_local_resets: usize,
    /// This many streams within a second, more than half of them reset by the client → the connection ends.
    pub h2_reset_streams: u32,
    /// PING frames a second.
    pub h2_pings: u32,
    /// SETTINGS frames a second.
    pub h2_settings: u32,
    pub connections: usize,
    /// Per IPv4 address or IPv6 /64, counted before TLS.
    pub connections_per_ip: usize,
    /// To a server of an upstream, TCP.
    pub connect: Duration,
    /// The same with the TLS handshake.
    pub connect_tls: Duration,
    /// From the request's end to the response head.
    pub response: Duration,
    /// Between two reads of a response body.
    pub response_idle: Duration,
    /// Upgraded connections without a byte in either direction.
    pub upgraded_idle: Duration,
    /// A client hello that decides on the corridor, in total.
    pub hello_read: Duration,
    /// Tunnels without a byte in either direction.
    pub tcp_idle: Duration,
    /// Idle connections kept per server and worker.
    pub pool_idle: usize,
    pub pool_idle_time: Duration,
    pub pool_age: Duration,
    /// Further attempts after a connection could not be made.
    pub retries: u32,
    /// Percentage of running requests that may be retries, but at least three.
    pub retry_budget: u32,
    /// Failures in a row after which a server is set aside, by each worker for itself; 0: never.
    pub eject_after: u32,
    /// For how long the first time; n times this the nth time, at most 5 minutes.
    pub eject_time: Duration,
    /// On SIGTERM: how long requests may go on, and how long upgraded connections and tunnels may.
    pub stop: Duration,
    pub stop_upgraded: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 << 10,
            header_bytes: 32 << 10,
            header_count: 100,
            odd_header_names: Vec::new(),
            body_idle: secs(60),
            body_buffer: 1 << 20,
            body_buffers: 256 << 20,
            mirrors: 128,
            tls_handshake: secs(10),
            proxy_header: secs(5),
            header_read: secs(10),
            keep_alive: secs(75),
            keep_alive_requests: 10_000,
            connection_age: secs(3600),
            h2_streams: 100,
            h2_stream_window: 256 << 10,
            h2_connection_window: 1 << 20,
            h2_frame: 16 << 10,
            h2_ping_interval: secs(30),
            h2_ping_timeout: secs(20),
            h2_pending_resets: 20,
            h2_local_resets: 200,
            h2_reset_streams: 200,
            h2_pings: 100,
            h2_settings: 50,
            connections: 20_000,
            connections_per_ip: 256,
            connect: secs(3),
            connect_tls: secs(5),
            response: secs(60),
            response_idle: secs(60),
            upgraded_idle: secs(3600),
            hello_read: secs(5),
            tcp_idle: secs(600),
            pool_idle: 32,
            pool_idle_time: secs(55),
            pool_age: secs(3600),
            retries: 1,
            retry_budget: 20,
            eject_after: 5,
            eject_time: secs(10),
            stop: secs(30),
            stop_upgraded: secs(300),
        }
    }
}

/// A route's own timeouts; `None` falls back to [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RouteTimeouts {
    /// From the request's first byte to the last of the response. No limit unless set.
    pub total: Option<Duration>,
    /// To the response head.
    pub response: Option<Duration>,
    /// A pause in either body.
    pub idle: Option<Duration>,
}
