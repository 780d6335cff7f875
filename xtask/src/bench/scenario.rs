//! What is measured, under which name.

/// One line of the list.
#[derive(Debug, PartialEq)]
pub struct Scenario {
    pub name: &'static str,
    /// Scenarios of one family are compared with each other, so they are measured in the same rounds.
    pub family: &'static str,
    pub load: Load,
    pub tls: bool,
    /// 0: one site takes all; N: host `hI.bench.test` with path `/rI/`, anything else is 404.
    pub routes: usize,
    /// 0: none; N: a chain that checks `x-bench-key`, rejects with 403, and adds `x-filter-1` … `x-filter-N`.
    pub filters: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// wrk, HTTP/1.1 keep-alive.
    Http1,
    /// h2load.
    Http2,
    /// Big bodies through the TCP corridor, our own generator.
    Bulk(Direction),
    /// One small request at a time through the TCP corridor, our own generator.
    RoundTrip,
    /// A TLS connection for each request, our own generator.
    Handshake(Kind),
    /// TLS connections that do nothing.
    Idle,
    /// Time to the first answer.
    Startup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Answers are big.
    Down,
    /// Requests are.
    Up,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With the certificate.
    Full,
    /// With the ticket of an earlier connection.
    Resumed,
}

/// Connections of the HTTP/1.1 scenarios.
pub const CONNECTIONS: usize = 64;
/// Connections and streams of h2-tls.
pub const STREAMS: (usize, usize) = (16, 32);
/// Bytes of every answer's body, but for big ones.
pub const BODY: usize = 1024;
/// Connections of the scenarios with big bodies.
pub const BULK_CONNECTIONS: usize = 8;
/// Bytes of a big body.
pub const BULK: usize = 10 << 20;
/// Connections of the handshake scenarios that are busy at a time.
pub const HANDSHAKES: usize = 16;

const PLAIN: Scenario = Scenario { name: "", family: "", load: Load::Http1, tls: false, routes: 0, filters: 0 };

pub const ALL: &[Scenario] = &[
    Scenario { name: "h1-plain", family: "h1-plain", ..PLAIN },
    Scenario { name: "h1-tls", family: "h1-tls", tls: true, ..PLAIN },
    Scenario { name: "h2-tls", family: "h2-tls", load: Load::Http2, tls: true, ..PLAIN },
    Scenario { name: "routes-10", family: "routes", routes: 10, ..PLAIN },
    Scenario { name: "routes-10000", family: "routes", routes: 10_000, ..PLAIN },
    Scenario { name: "filter-0", family: "filter", ..PLAIN },
    Scenario { name: "filter-1", family: "filter", filters: 1, ..PLAIN },
    Scenario { name: "filter-5", family: "filter", filters: 5, ..PLAIN },
    Scenario { name: "filter-10", family: "filter", filters: 10, ..PLAIN },
    Scenario { name: "tunnel-bulk", family: "tunnel-bulk", load: Load::Bulk(Direction::Down), ..PLAIN },
    Scenario { name: "tunnel-upload", family: "tunnel-upload", load: Load::Bulk(Direction::Up), ..PLAIN },
    Scenario { name: "tunnel-latency", family: "tunnel-latency", load: Load::RoundTrip, ..PLAIN },
    Scenario { name: "handshake-full", family: "handshake", load: Load::Handshake(Kind::Full), tls: true, ..PLAIN },
    Scenario { name: "handshake-resumed", family: "handshake", load: Load::Handshake(Kind::Resumed), tls: true, ..PLAIN },
    Scenario { name: "idle", family: "idle", load: Load::Idle, tls: true, ..PLAIN },
    Scenario { name: "startup", family: "startup", load: Load::Startup, tls: true, filters: 5, ..PLAIN },
];

pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Whether it goes through the TCP corridor.
    pub fn tunnel(&self) -> bool {
        matches!(self.load, Load::Bulk(_) | Load::RoundTrip)
    }

    /// Bytes of the body of an answer to GET.
    pub fn body(&self) -> usize {
        if self.bulk() { BULK } else { BODY }
    }

    /// Whether its origin is the one of big bodies.
    pub fn bulk(&self) -> bool {
        matches!(self.load, Load::Bulk(_))
    }

    /// Whether it is measured by loading the proxy for a time.
    pub fn loads(&self) -> bool {
        !matches!(self.load, Load::Idle | Load::Startup)
    }

    /// A host and path that this scenario serves.
    pub fn target(&self) -> (&'static str, &'static str) {
        if self.routes == 0 { ("bench.test", "/bench") } else { ("h7.bench.test", "/r7/x") }
    }
}
