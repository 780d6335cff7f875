//! A file of cases (`plugin test`): what a plugin is shown, and what it is to decide.

mod going_out;

pub use going_out::*;

use super::{Allow, GuestLimits, Isolation, LinkSpec, Location, StoreName, UpstreamName};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// A whole file, as meant.
#[derive(Debug, Clone)]
pub struct Cases {
    pub allow: Allow,
    /// `None`: as the proxy has them for the plugin.
    pub limits: Option<GuestLimits>,
    /// `None`: each case runs with the guest that the proxy would use by default.
    pub isolation: Option<Isolation>,
    /// What the clock shows when a case begins; it stands unless a case moves it.
    pub now: SystemTime,
    /// Every store, with what is in it when a case begins.
    pub stores: BTreeMap<StoreName, Vec<(String, String)>>,
    pub secrets: BTreeMap<String, String>,
    /// Every upstream that there is, with what it answers.
    pub upstreams: BTreeMap<UpstreamName, Vec<Canned>>,
    /// In file order.
    pub cases: Vec<Case>,
}

/// What an upstream answers to requests that fit.
#[derive(Debug, Clone)]
pub struct Canned {
    pub method: Option<Method>,
    /// With the query.
    pub path: Option<String>,
    /// Fields that the request must have.
    pub headers: HeaderMap,
    pub answer: CannedAnswer,
}

#[derive(Debug, Clone)]
pub enum CannedAnswer {
    Reply {
        status: StatusCode,
        headers: HeaderMap,
        body: String,
    },
    Timeout,
    /// It cannot be reached, for this reason.
    Failed(String),
}

/// One case: a fresh guest with fresh stores, and exchanges one after the other.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub link: LinkSpec,
    /// The settings are to be refused: each of these is in a message. Then there are no steps.
    pub refused: Vec<Check>,
    /// At least one, unless the settings are refused.
    pub steps: Vec<Step>,
    pub at: Location,
}

/// One thing that happens in a case.
#[derive(Debug, Clone)]
pub struct Step {
    /// The clock is moved by this much before.
    pub after: Duration,
    pub deed: Deed,
    pub at: Location,
}

#[derive(Debug, Clone)]
pub enum Deed {
    Exchange(Box<MadeExchange>),
    Connection(Box<ConnectionDeed>),
    Tick(TickDeed),
}

/// A connection from its beginning to its end, and what is expected of its phases.
#[derive(Debug, Clone)]
pub struct ConnectionDeed {
    pub made: MadeConnection,
    pub accept: Option<Expected>,
    pub hello: Option<Expected>,
    pub close: Option<Expected>,
}

/// One exchange of a case.
#[derive(Debug, Clone)]
pub struct MadeExchange {
    pub request: MadeRequest,
    /// `None`: there is no response, and the exchange ends with the request phase.
    pub response: Option<MadeResponse>,
    /// `None`: nothing is said of the request phase but that the exchange goes on.
    pub expect: Option<Expected>,
    pub going_out: GoingOutDeed,
    pub expect_response: Option<Expected>,
}

/// A made-up connection.
#[derive(Debug, Clone)]
pub struct MadeConnection {
    pub listener: MadeListener,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// How many its client has open.
    pub open: Option<u32>,
    /// As links before this one would have set them.
    pub attributes: Vec<(String, String)>,
    /// `None`: it is in the clear.
    pub hello: Option<MadeHello>,
    /// How it ends, unless it is refused.
    pub ending: MadeEnding,
}

impl MadeConnection {
    /// Of a browser, to an HTTPS listener.
    pub fn plain() -> Self {
        // Addresses for documentation (RFC 5737), so that nobody's are meant.
        let address = |last, port| SocketAddr::from(([192, 0, 2, last], port));
        Self {
            listener: MadeListener::Https,
            peer: address(1, 50_000),
            local: address(80, 443),
            open: None,
            attributes: Vec::new(),
            hello: Some(MadeHello { sni: Some("example.test".to_owned()), alpn: vec!["h2".to_owned(), "http/1.1".to_owned()] }),
            ending: MadeEnding { received: 0, sent: 0, duration: Duration::ZERO, why: 0 },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeListener {
    Https,
    Http,
    Tcp,
}

/// What the client offers.
#[derive(Debug, Clone, Default)]
pub struct MadeHello {
    pub sni: Option<String>,
    pub alpn: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct MadeEnding {
    pub received: u64,
    pub sent: u64,
    pub duration: Duration,
    /// Index into [`ENDINGS`].
    pub why: usize,
}

/// A made-up request.
#[derive(Debug, Clone)]
pub struct MadeRequest {
    pub method: Method,
    /// Absolute.
    pub url: Uri,
    pub headers: HeaderMap,
    pub client: IpAddr,
    /// As links before this one would have set them.
    pub attributes: Vec<(String, String)>,
    /// `None`: it has none.
    pub body: Option<MadeBody>,
}

/// A made-up response.
#[derive(Debug, Clone)]
pub struct MadeResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `None`: it is empty.
    pub body: Option<MadeBody>,
}

/// A made-up body.
#[derive(Debug, Clone, Default)]
pub struct MadeBody {
    /// As they come, one after the other.
    pub pieces: Vec<String>,
    /// Whether its length is known when it begins.
    pub stated: bool,
    pub trailers: HeaderMap,
}

/// All that must hold of one decision. There is always a [`Wanted::Verdict`], or a fault where there is nothing else to decide.
#[derive(Debug, Clone)]
pub struct Expected {
    pub checks: Vec<Check>,
}

/// One thing that must hold, and where it is written.
#[derive(Debug, Clone)]
pub struct Check {
    pub wanted: Wanted,
    pub at: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Verdict(&'static str),
    Upstream(String),
    /// Who gets the request, or the next attempt. `None`: nobody is chosen.
    Server(Option<String>),
    /// Of the reply.
    Status(u16),
    /// Of what goes on, or of the reply: the whole.
    Body(String),
    /// `None`: it is not there.
    Trailer(String, Option<Vec<String>>),
    /// What the plugin wants with the body.
    Want(&'static str),
    /// A header of what goes on: the request, the response or the reply. `None`: it is not there.
    Header(String, Option<Vec<String>>),
    Method(String),
    Authority(String),
    Path(String),
    /// `None`: there is none.
    Query(Option<String>),
    Attribute(String, Option<String>),
    /// All edits in their order, as they are shown.
    Edits(Vec<String>),
    /// How many requests the plugin sent to upstreams in this phase.
    Asked(usize),
    /// A line of the plugin's log contains this.
    Log(String),
    /// The cause.
    Fault(&'static str),
    /// The number of the TLS alert.
    Alert(u8),
    /// What is said of settings that are refused.
    Refused(String),
}

/// Verdicts by their names in files, and the causes of faults by the reasons that the log has.
pub const VERDICTS: [&str; 6] = ["next", "forward", "reply", "abort", "fault", "too-large"];
/// Of connections.
pub const ADMISSIONS: [&str; 7] = ["next", "reset", "close", "alert", "forward", "pass-through", "fault"];
/// How connections end.
pub const ENDINGS: [&str; 5] = ["done", "refused", "fault", "tls", "stopped"];
pub const FAULTS: [&str; 5] = ["trap", "timeout", "memory", "bad-output", "overload"];
/// What can be done with a body.
pub const WANTS: [&str; 4] = ["pass", "watch", "transform", "buffer"];
