//! `[site."name".routes]`: a match with a destination and a chain.

use super::{LinkSpec, Location, RouteTimeouts, UpstreamName, show_duration};
use std::fmt;
use std::time::Duration;

/// A match with a destination and a chain.
///
/// Precedence within a site (Gateway API HTTPRoute): exact path, then regular expressions by `priority` (highest first), then the
/// longest prefix; among equals: a method match, most header matches, most query matches, file order.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// As written (`/api/*`), which is also its name in logs, metrics and `explain`.
    pub pattern: String,
    pub matches: RouteMatch,
    /// `None`: a link must answer (`respond`, `redirect`, `split` or a plugin of the user's).
    pub to: Option<UpstreamName>,
    /// Outer to inner, inherited links first, shorthand (`strip`, `headers`, …) already turned into links.
    pub chain: Vec<LinkSpec>,
    pub timeouts: RouteTimeouts,
    pub retry: RetrySpec,
    /// `None`: nobody gets copies.
    pub mirror: Option<MirrorSpec>,
    /// `None`: nothing is injected.
    pub injected: Option<InjectedFaults>,
    pub at: Location,
}

/// Who gets copies of a route's requests. Their answers are thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorSpec {
    pub to: UpstreamName,
    /// Per cent of the requests, at least 1.
    pub share: u32,
}

/// What an operator wants to go wrong with requests that would go upstream, to see what comes of it. Shares are per cent, at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InjectedFaults {
    /// Before the request goes out, and how often.
    pub delay: Option<(Duration, u32)>,
    /// The status of an answer in the place of the upstream's, 400 to 599, and how often.
    pub abort: Option<(u16, u32)>,
}

impl fmt::Display for InjectedFaults {
    /// As an operator is shown them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((delay, share)) = self.delay {
            write!(f, "{share}% wait {}{}", show_duration(delay), if self.abort.is_some() { ", " } else { "" })?;
        }
        if let Some((status, share)) = self.abort {
            write!(f, "{share}% are answered {status}")?;
        }
        Ok(())
    }
}

/// When an attempt that failed is followed by another, on another server. Whatever it says, nothing is sent twice that would not be safe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetrySpec {
    /// No connection could be made.
    pub connect: bool,
    /// The connection ended before the response head was complete.
    pub reset: bool,
    /// No response head in time.
    pub timeout: bool,
    /// Responses that count as failed, sorted.
    pub statuses: Vec<u16>,
    /// Attempts in all. `None`: one more than [`super::Limits::retries`].
    pub tries: Option<u32>,
    /// Per cent of running requests. `None`: [`super::Limits::retry_budget`].
    pub budget: Option<u32>,
    /// For each attempt, to the response head.
    pub per_try: Option<Duration>,
    /// After so long without a response head, another server is asked as well. `None`: never.
    pub hedge: Option<Duration>,
}

impl RetrySpec {
    /// What holds where nothing is written.
    pub const DEFAULT: Self =
        Self { connect: true, reset: true, timeout: false, statuses: Vec::new(), tries: None, budget: None, per_try: None, hedge: None };

    /// One attempt.
    pub const NEVER: Self = Self {
        connect: false,
        reset: false,
        timeout: false,
        statuses: Vec::new(),
        tries: Some(1),
        budget: None,
        per_try: None,
        hedge: None,
    };
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// All of these must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch {
    pub path: PathMatch,
    /// Empty: any method.
    pub methods: Vec<http::Method>,
    pub headers: Vec<FieldMatch>,
    pub query: Vec<FieldMatch>,
}

/// How a path is matched. Paths are compared in their normal form (RFC 3986, section 6.2.2), case-sensitively.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// `=/robots.txt`
    Exact(String),
    /// `/api/*`, held as `/api`: matches `/api` and everything below `/api/`, not `/apis`. `/*` is held as the empty string.
    Prefix(String),
    /// `~^/v[0-9]+/`; unanchored unless written so.
    Regex { regex: regex::Regex, priority: i32 },
}

/// A header field or query parameter that must have exactly this value; `None`: must only be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMatch {
    /// Header names in lower case; query names as they are after percent-decoding.
    pub name: String,
    pub value: Option<String>,
}

/// Regular expressions are equal if they are written alike.
impl PartialEq for PathMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) | (Self::Prefix(one), Self::Prefix(other)) => one == other,
            (Self::Regex { regex, priority }, Self::Regex { regex: other, priority: its }) => {
                regex.as_str() == other.as_str() && priority == its
            }
            _ => false,
        }
    }
}

impl Eq for PathMatch {}

impl PathMatch {
    /// Whether a path in normal form matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Regex { regex, .. } => regex.is_match(path),
        }
    }
}

impl FieldMatch {
    /// Whether each of `wanted` is there, with its value on one of the field's lines if a value is wanted.
    pub fn all_in_headers(wanted: &[Self], headers: &http::HeaderMap) -> bool {
        wanted.iter().all(|want| match &want.value {
            None => headers.contains_key(&want.name),
            Some(value) => headers.get_all(&want.name).iter().any(|found| found == value),
        })
    }

    /// Whether each of `wanted` is among the parameters of `query` (percent-decoded, `+` is a space; the first of a name counts).
    pub fn all_in_query(wanted: &[Self], query: Option<&str>) -> bool {
        wanted.iter().all(|want| {
            let found = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| *name == want.name);
            found.is_some_and(|(_, found)| want.value.as_ref().is_none_or(|value| found == *value))
        })
    }
}
