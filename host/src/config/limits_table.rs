//! The keys of `[limits]`: each field of [`Limits`] with its key, unit, bounds, meaning and the reason for its default. Decoding,
//! `portcullis defaults` and the JSON Schema come from this one list; leaving a field out does not compile.

use super::Limits;
use super::keys::{self, Key, Kind};
use std::time::Duration;

/// One limit.
pub struct Limit {
    pub key: &'static str,
    pub unit: Unit,
    pub doc: &'static str,
    /// Why the default is what it is.
    pub why: &'static str,
    pub read: fn(&Limits) -> Amount,
    pub write: fn(&mut Limits, Amount),
}

/// How a limit is written, with the least and most it may be (bytes, milliseconds, or the number itself).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Size(u64, u64),
    Time(u64, u64),
    Count(u64, u64),
    Percent,
    Names,
}

/// A limit's value, whatever its type in [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, a count or a percentage.
    Number(u64),
    Time(Duration),
    Names(Vec<String>),
}

/// Between an amount and a field of [`Limits`].
trait Field: Sized {
    fn amount(&self) -> Amount;
    fn from_amount(amount: Amount) -> Option<Self>;
}

macro_rules! number_fields {
    ($($type:ty)*) => {$(impl Field for $type {
        fn amount(&self) -> Amount {
            Amount::Number(*self as u64)
        }
        fn from_amount(amount: Amount) -> Option<Self> {
            match amount {
                Amount::Number(n) => n.try_into().ok(),
                _ => None,
            }
        }
    })*};
}
number_fields!(u32 usize);

impl Field for Duration {
    fn amount(&self) -> Amount {
        Amount::Time(*self)
    }
    fn from_amount(amount: Amount) -> Option<Self> {
        match amount {
            Amount::Time(time) => Some(time),
            _ => None,
        }
    }
}

impl Field for Vec<String> {
    fn amount(&self) -> Amount {
        Amount::Names(self.clone())
    }
    fn from_amount(amount: Amount) -> Option<Self> {
        match amount {
            Amount::Names(names) => Some(names),
            _ => None,
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

const fn kind(unit: Unit) -> Kind {
    match unit {
        Unit::Size(..) => Kind::Text(&keys::SIZE),
        Unit::Time(..) => Kind::Text(&keys::DURATION),
        // Bounds of counts are far below 2^63.
        Unit::Count(least, most) => Kind::Whole(least as i64, most as i64),
        Unit::Percent => Kind::Text(&keys::PERCENT),
        Unit::Names => Kind::List(&keys::HEADER_TEXT),
    }
}

macro_rules! limits {
    ($($field:ident $key:literal $unit:expr, $example:literal, $doc:literal, $why:literal;)*) => {
        /// In the order of the table that `portcullis defaults` prints.
        pub static LIMITS: &[Limit] = &[$(Limit {
            key: $key,
            unit: $unit,
            doc: $doc,
            why: $why,
            read: |limits| limits.$field.amount(),
            write: |limits, amount| if let Some(amount) = Field::from_amount(amount) { limits.$field = amount },
        }),*];

        /// The same as keys of the table `[limits]`.
        pub const KEYS: &[Key] = &[$(Key { name: $key, kind: kind($unit), doc: $doc, example: $example, required: false }),*];

        /// Names every field, so that one without a line above does not compile.
        const _: fn(Limits) = |limits| { let Limits { $($field: _),* } = limits; };
    };
}

limits! {
    request_line "request-line" Unit::Size(64, MIB), "\"8KiB\"", "method, target and version; longer → 414", "nginx";
    header_bytes "header-bytes" Unit::Size(256, 16 * MIB), "\"32KiB\"", "all header fields, the same for every protocol; more → 431", "between Caddy's 16 and Envoy's 60 KiB";
    header_count "header-count" Unit::Count(1, 10_000), "100", "header field lines, cookie crumbs counted; more → 431", "Envoy, HAProxy";
    odd_header_names "odd-header-names" Unit::Names, "[\"x_legacy\"]", "names with _ or . that are let through; others are dropped", "confusion with - behind CGI-style servers (Caddy GHSA-f59h-q822-g45g)";
    body_idle "body-idle" Unit::Time(1, DAY), "\"60s\"", "a body may pause this long; there is no total", "a total read timeout breaks uploads (Traefik's most reported timeout)";
    body_buffer "body-buffer" Unit::Size(KIB, 1 << 30), "\"1MiB\"", "what a plugin may buffer of one body; more → 413, of a response 502; larger ones are not mirrored", "nginx; a guest has 16 MiB of memory";
    body_buffers "body-buffers" Unit::Size(KIB, 1 << 40), "\"256MiB\"", "what plugins and mirrors may buffer of all bodies together; more → 503, or no copy", "bounds what the process needs";
    mirrors "mirrors" Unit::Count(1, 1_000_000), "128", "copies of requests (`mirror`) that run at once on each worker; more are not made", "chosen arbitrarily: a shadow that hangs costs this many connections";
    tls_handshake "tls-handshake" Unit::Time(1, HOUR), "\"10s\"", "TLS handshake, in total", "ample for a slow client, short for an idle one";
    proxy_header "proxy-header" Unit::Time(1, HOUR), "\"5s\"", "PROXY header, in total, from those who must send one", "proxies send it with their first packet";
    header_read "header-read" Unit::Time(1, HOUR), "\"10s\"", "request head, in total; longer → 408", "Sōzu";
    keep_alive "keep-alive" Unit::Time(0, DAY), "\"75s\"", "idle client connections", "nginx";
    keep_alive_requests "keep-alive-requests" Unit::Count(1, 1_000_000_000), "10000", "requests on one client connection", "spreads load after a change; nginx has 1,000";
    connection_age "connection-age" Unit::Time(SECOND, 365 * DAY), "\"1h\"", "age of a client connection, ± 10 %", "nginx; jitter against waves";
    h2_streams "h2-streams" Unit::Count(1, 100_000), "100", "streams open at once on an HTTP/2 connection", "Envoy's edge guide";
    h2_stream_window "h2-stream-window" Unit::Size(65_535, (1 << 31) - 1), "\"256KiB\"", "flow-control window of a stream", "Sōzu, Envoy's edge guide: bounds memory per stream";
    h2_connection_window "h2-connection-window" Unit::Size(65_535, (1 << 31) - 1), "\"1MiB\"", "flow-control window of a connection", "Envoy's edge guide";
    h2_frame "h2-frame" Unit::Size(16 * KIB, (1 << 24) - 1), "\"16KiB\"", "largest frame", "the least that RFC 9113 allows";
    h2_ping_interval "h2-ping-interval" Unit::Time(SECOND, DAY), "\"30s\"", "a quiet HTTP/2 connection is asked whether it lives", "Envoy's edge guide";
    h2_ping_timeout "h2-ping-timeout" Unit::Time(SECOND, DAY), "\"20s\"", "and must answer within", "Envoy's edge guide";
    h2_pending_resets "h2-pending-resets" Unit::Count(1, 100_000), "20", "streams reset by the client before they were looked at", "crate h2's own, Envoy and Sōzu alike";
    h2_local_resets "h2-local-resets" Unit::Count(1, 1_000_000), "200", "streams that we had to reset", "Envoy and Sōzu; crate h2 would take 1,024";
    h2_reset_streams "h2-reset-streams" Unit::Count(10, 1_000_000), "200", "streams within 1 s of which more than half are reset → ENHANCE_YOUR_CALM", "Envoy and Sōzu, against rapid reset";
    h2_pings "h2-pings" Unit::Count(1, 1_000_000), "100", "PING frames a second", "Envoy and Sōzu";
    h2_settings "h2-settings" Unit::Count(1, 1_000_000), "50", "SETTINGS frames a second", "Envoy and Sōzu";
    connections "connections" Unit::Count(1, 10_000_000), "20000", "client connections of the process", "about 600 MiB of idle TLS at 30 KiB each";
    connections_per_ip "connections-per-ip" Unit::Count(1, 10_000_000), "256", "of one IPv4 address or IPv6 /64, counted before TLS", "one client cannot take all; an office behind NAT fits";
    connect "connect" Unit::Time(1, HOUR), "\"3s\"", "TCP connection to a server", "Caddy, Sōzu";
    connect_tls "connect-tls" Unit::Time(1, HOUR), "\"5s\"", "and with the TLS handshake, where a server wants one", "two more round trips and the server's work";
    response "response" Unit::Time(1, DAY), "\"60s\"", "from the request's end to the response head", "nginx";
    response_idle "response-idle" Unit::Time(1, DAY), "\"60s\"", "between two reads of a response body", "nginx";
    upgraded_idle "upgraded-idle" Unit::Time(SECOND, 365 * DAY), "\"1h\"", "upgraded connections without a byte in either direction", "WebSockets are quiet for long";
    hello_read "hello-read" Unit::Time(1, HOUR), "\"5s\"", "client hello that decides where a connection goes, in total; at most 16 KiB", "HAProxy's manual advises it; nginx waits 30 s";
    tcp_idle "tcp-idle" Unit::Time(SECOND, 365 * DAY), "\"10m\"", "TCP tunnels without a byte in either direction", "nginx";
    pool_idle "pool-idle" Unit::Count(0, 100_000), "32", "idle connections kept per server and worker", "enough for bursts, few enough for small origins";
    pool_idle_time "pool-idle-time" Unit::Time(0, DAY), "\"55s\"", "and for how long", "just under the usual 60 s of servers";
    pool_age "pool-age" Unit::Time(SECOND, 365 * DAY), "\"1h\"", "age of a connection to a server", "follows changes of DNS";
    retries "retries" Unit::Count(0, 10), "1", "further attempts, on another server, where no connection could be made, or it ended before an idempotent request was answered", "Envoy";
    retry_budget "retry-budget" Unit::Percent, "\"20%\"", "of running requests may be retries, but at least 3", "Envoy";
    eject_after "eject-after" Unit::Count(0, 1_000), "5", "failures of a server in a row (no connection, none that lasts, no answer in time) after which a worker sends it nothing for a while; 0 for never; at most half of the servers", "Envoy, with a wider cap for small sets";
    eject_time "eject-time" Unit::Time(100, 300_000), "\"10s\"", "the first time, n times this the nth time, at most 5m", "Envoy: longer each time, so that one that is down for good costs little";
    stop "stop" Unit::Time(0, DAY), "\"30s\"", "requests may go on after SIGTERM", "between Traefik's 10 s and Pingora's 300 s";
    stop_upgraded "stop-upgraded" Unit::Time(0, 7 * DAY), "\"5m\"", "upgraded connections and TCP tunnels may go on after SIGTERM", "Pingora";
}
