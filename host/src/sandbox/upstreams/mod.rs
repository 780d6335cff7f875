//! The phases on the way to upstreams and after it across the wall: what a guest is shown, and what it decided, checked.
//!
//! By wasmtime's derived way, as for connections: decisions are a number, and few plugins take part.

mod guest;
mod plan;
pub(super) mod types;

pub use plan::{AttemptInterest, BalanceInterest, DoneInterest, ServerInterest, UpstreamPhases, UpstreamPlan};

use super::connection::attributes;
use super::lift::BadOutput;
use super::types::{Attribute, Header};
use crate::chain::Said;
use crate::message::{Again, Candidate, Exchange, RequestHead};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::time::Duration;

/// The attributes of interest that are set.
pub(super) type Found<'a> = SmallVec<[(&'a str, Cow<'a, str>); 4]>;

pub(super) fn look_up<'a>(exchange: &'a Exchange, request: &'a RequestHead, names: &'a [String]) -> Found<'a> {
    names.iter().filter_map(|name| Some((&**name, exchange.attribute(name, Some(request))?))).collect()
}

pub(super) fn shown<'a>(found: &'a Found<'_>) -> SmallVec<[Attribute<'a>; 4]> {
    found.iter().map(|(name, value)| Attribute { name, value }).collect()
}

/// Lines of one name in the order received.
pub(super) fn headers<'a>(map: &'a HeaderMap, names: &'a [HeaderName]) -> SmallVec<[Header<'a>; 4]> {
    let lines = |name: &'a HeaderName| map.get_all(name).iter().map(|value| Header { name: name.as_str(), value: value.as_bytes() });
    names.iter().flat_map(lines).collect()
}

/// What was asked for of each.
pub(super) fn candidates<'a>(all: &'a [Candidate<'a>], asked: ServerInterest) -> SmallVec<[types::Candidate<'a>; 8]> {
    let shown = |candidate: &'a Candidate<'a>| types::Candidate {
        number: candidate.number,
        address: if asked.address { candidate.address } else { "" },
        weight: if asked.weight { candidate.weight } else { 0 },
        tags: if asked.tags { candidate.tags } else { &[] },
        running: if asked.load { candidate.running } else { 0 },
        latency: if asked.load { u32::try_from(candidate.latency.as_micros()).unwrap_or(u32::MAX) } else { 0 },
    };
    all.iter().map(shown).collect()
}

/// All that is known of a server.
pub(super) const ALL: ServerInterest = ServerInterest { address: true, weight: true, tags: true, load: true };

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn balance_decision(raw: types::BalanceDecision) -> Result<Said<Option<usize>>, BadOutput> {
    let verdict = match raw.verdict {
        types::BalanceVerdict::Next => None,
        types::BalanceVerdict::Choose(place) => Some(place as usize),
    };
    Ok(Said { verdict, attributes: attributes(raw.attributes)? })
}

pub(super) fn attempt_decision(raw: types::AttemptDecision) -> Result<Said<Again>, BadOutput> {
    let verdict = match raw.verdict {
        types::AttemptVerdict::Next => Again::AsConfigured,
        types::AttemptVerdict::Stop => Again::Stop,
        types::AttemptVerdict::Again => Again::Anywhere,
        types::AttemptVerdict::AgainOn(place) => Again::On(place as usize),
    };
    Ok(Said { verdict, attributes: attributes(raw.attributes)? })
}
