//! What a plugin does under its settings: which phases, and what it wants to see in each, checked and resolved once.

use super::bodies::BodyPlan;
use super::connection::ConnectionPlan;
use super::lift::BadOutput;
use super::upstreams::UpstreamPlan;
use super::{Problem, types};
use http::HeaderName;

/// All that a plugin does under its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    pub heads: Plan,
    pub connections: ConnectionPlan,
    pub bodies: BodyPlan,
    pub upstreams: UpstreamPlan,
}

impl Plans {
    /// Whether it has no phases but `on-request` and `on-response`.
    pub(super) fn only_heads(&self) -> bool {
        !self.connections.phases().any() && !self.bodies.any() && !self.upstreams.any()
    }
}

/// What `configure` returned (`wit/types.wit`, `plan`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `None`: not called for requests under these settings.
    pub request: Option<RequestInterest>,
    pub response: Option<ResponseInterest>,
    /// For the operator; they stop nothing.
    pub warnings: Vec<Problem>,
}

/// What `on-request` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestInterest {
    pub method: bool,
    pub scheme: bool,
    pub authority: bool,
    pub path: bool,
    pub query: bool,
    pub exchange: bool,
    pub shown: Interest,
}

/// What `on-response` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseInterest {
    pub exchange: bool,
    pub shown: Interest,
}

/// Header fields and attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interest {
    /// Each once.
    pub headers: Vec<HeaderName>,
    pub all_headers: bool,
    pub attributes: Vec<String>,
}

/// Names in one interest. Each is looked up in every exchange.
pub(super) const MOST_NAMES: usize = 256;

impl Plan {
    /// `exported`: whether the component has `on-request`, and `on-response`.
    pub(super) fn check(raw: types::Plan, exported: (bool, bool)) -> Result<Self, BadOutput> {
        let missing = [(raw.request.is_some() && !exported.0, "on-request"), (raw.response.is_some() && !exported.1, "on-response")];
        if let Some((_, phase)) = missing.iter().find(|(missing, _)| *missing) {
            return Err(BadOutput::new(format!("the plan asks for `{phase}`, which the plugin does not export")));
        }
        Ok(Self {
            request: raw.request.map(request).transpose()?,
            response: raw.response.map(response).transpose()?,
            warnings: raw.warnings.into_iter().map(Problem::tidied).collect(),
        })
    }
}

impl Plan {
    /// Whether all that it sees is of few kinds, so that a decision that is remembered will nearly always be asked for again. A fresh guest costs
    /// ten times as much as one that is kept, and that half as much again as remembering (`cargo bench --bench chain`).
    pub(super) fn comes_again(&self) -> bool {
        let few = |shown: &Interest| {
            let of_few = |name: &String| {
                matches!(
                    name.as_str(),
                    "site"
                        | "route"
                        | "upstream"
                        | "tls.version"
                        | "tls.alpn"
                        | "http.version"
                        | "request.method"
                        | "request.scheme"
                        | "server.ip"
                        | "server.port"
                )
            };
            !shown.all_headers && shown.headers.is_empty() && shown.attributes.iter().all(of_few)
        };
        self.request.as_ref().is_none_or(|wants| !(wants.exchange || wants.authority || wants.path || wants.query) && few(&wants.shown))
            && self.response.as_ref().is_none_or(|wants| !wants.exchange && few(&wants.shown))
    }
}

pub(super) fn request(raw: types::RequestInterest) -> Result<RequestInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(RequestInterest {
        method: has(types::RequestFields::METHOD),
        scheme: has(types::RequestFields::SCHEME),
        authority: has(types::RequestFields::AUTHORITY),
        path: has(types::RequestFields::PATH),
        query: has(types::RequestFields::QUERY),
        exchange: has(types::RequestFields::EXCHANGE),
        shown: interest(&raw.headers, raw.all_headers, raw.attributes)?,
    })
}

pub(super) fn response(raw: types::ResponseInterest) -> Result<ResponseInterest, BadOutput> {
    Ok(ResponseInterest { exchange: raw.exchange, shown: interest(&raw.headers, raw.all_headers, raw.attributes)? })
}

fn interest(names: &[String], all_headers: bool, attributes: Vec<String>) -> Result<Interest, BadOutput> {
    if names.len() > MOST_NAMES || attributes.len() > MOST_NAMES {
        return Err(BadOutput::new(format!("an interest in more than {MOST_NAMES} names")));
    }
    let mut headers = Vec::new();
    for name in names {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadOutput::quoting("an interest in no header name", name.as_bytes()))?;
        // Hidden fields are not in the head anyway; one named twice would be shown twice.
        if !super::fields::is_hidden(&parsed) && !headers.contains(&parsed) {
            headers.push(parsed);
        }
    }
    let mut seen = std::collections::HashSet::new();
    let attributes = attributes.into_iter().filter(|name| seen.insert(name.clone())).collect();
    Ok(Interest { headers: if all_headers { Vec::new() } else { headers }, all_headers, attributes })
}

/// Names of attributes, each once.
pub(super) fn each_once(names: Vec<String>) -> Result<Vec<String>, BadOutput> {
    if names.len() > MOST_NAMES {
        return Err(BadOutput::new(format!("an interest in more than {MOST_NAMES} names")));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(names.into_iter().filter(|name| seen.insert(name.clone())).collect())
}
