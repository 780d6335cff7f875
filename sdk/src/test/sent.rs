//! Heads as a test writes them, and the part of them that a plugin is shown.

use crate::abi::{Field, Str};
use crate::head;
use crate::plan::{Asked, RequestInterest, ResponseInterest};

/// A request that the proxy received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) facts: Facts,
}

/// A response on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentResponse {
    pub(super) status: u16,
    pub(super) facts: Facts,
}

/// What both have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub exchange: u64,
    pub headers: Vec<(String, Vec<u8>)>,
    pub attributes: Vec<(String, String)>,
}

/// A GET request for an absolute URL, such as `https://example.com/a?b=c`; a path alone is of `https://example.com`.
#[track_caller]
pub fn get(url: &str) -> SentRequest {
    request("GET", url)
}

/// A request of any method; see [`get`] for the URL.
///
/// # Panics
/// If the URL is neither `http://…`, `https://…` nor a path.
#[track_caller]
pub fn request(method: &str, url: &str) -> SentRequest {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        None if url.starts_with('/') => ("https", &*format!("example.com{url}")),
        _ => panic!("{url}: not a URL that a proxy gets; write http://…, https://… or a path"),
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    SentRequest {
        method: method.to_owned(),
        scheme: scheme.to_owned(),
        authority: authority.to_ascii_lowercase(),
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query,
        facts: Facts::default(),
    }
}

/// A response of this status.
pub fn response(status: u16) -> SentResponse {
    SentResponse { status, facts: Facts::default() }
}

impl SentRequest {
    pub(super) fn seen(&self, interest: &RequestInterest) -> Seen<'_, Self> {
        Seen::of(self, &self.facts, &interest.asked)
    }
}

impl SentResponse {
    pub(super) fn seen(&self, interest: &ResponseInterest) -> Seen<'_, Self> {
        Seen::of(self, &self.facts, &interest.asked)
    }
}

macro_rules! facts {
    ($head:ident) => {
        impl $head {
            /// Adds a header field line; the name is put in lower case.
            #[must_use]
            pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                self.facts.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
                self
            }

            /// Sets an attribute, such as `client.ip`, or one of a link before.
            #[must_use]
            pub fn attribute(mut self, name: &str, value: &str) -> Self {
                self.facts.attributes.push((name.to_owned(), value.to_owned()));
                self
            }

            /// Sets the number that ties the phases of one exchange together.
            #[must_use]
            pub fn exchange(mut self, exchange: u64) -> Self {
                self.facts.exchange = exchange;
                self
            }
        }
    };
}
facts!(SentRequest);
facts!(SentResponse);

/// A head, and of its fields and attributes those that were asked for.
pub(super) struct Seen<'s, H> {
    head: &'s H,
    exchange: u64,
    headers: Vec<Field<'s>>,
    attributes: Vec<Field<'s>>,
}

impl<'s, H> Seen<'s, H> {
    fn of(head: &'s H, facts: &'s Facts, asked: &Asked) -> Self {
        let field = |name: &'s str, value: &'s [u8]| Field { name: Str::of(name.as_bytes()), value: Str::of(value) };
        let headers = facts.headers.iter().filter(|(name, _)| asked.all_headers || asked.headers.iter().any(|asked| asked == name));
        let attributes = facts.attributes.iter().filter(|(name, _)| asked.attributes.iter().any(|asked| asked == name));
        Self {
            head,
            exchange: if asked.exchange { facts.exchange } else { 0 },
            headers: headers.map(|(name, value)| field(name, value)).collect(),
            attributes: attributes.map(|(name, value)| field(name, value.as_bytes())).collect(),
        }
    }

    fn fields<'a>(&'a self, asked: &'a Asked) -> head::Fields<'a> {
        head::Fields { headers: &self.headers, attributes: &self.attributes, asked }
    }
}

impl Seen<'_, SentRequest> {
    pub fn with<T>(&self, interest: &RequestInterest, call: impl FnOnce(&head::Request<'_>) -> T) -> T {
        let sees = |bit| interest.fields & bit != 0;
        let text = |bit, text| if sees(bit) { text } else { "" };
        call(&head::Request {
            exchange: self.exchange,
            method: text(RequestInterest::METHOD, &self.head.method),
            scheme: text(RequestInterest::SCHEME, &self.head.scheme),
            authority: text(RequestInterest::AUTHORITY, &self.head.authority),
            path: text(RequestInterest::PATH, &self.head.path),
            query: self.head.query.as_deref().filter(|_| sees(RequestInterest::QUERY)),
            fields: self.fields(&interest.asked),
            asked: interest.fields,
        })
    }
}

impl Seen<'_, SentResponse> {
    pub fn with<T>(&self, interest: &ResponseInterest, call: impl FnOnce(&head::Response<'_>) -> T) -> T {
        call(&head::Response { exchange: self.exchange, status: self.head.status, fields: self.fields(&interest.asked) })
    }
}
