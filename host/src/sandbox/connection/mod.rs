//! The connection phases across the wall: what a guest is shown of a connection, and what it decided, checked.
//!
//! By wasmtime's derived way (`types`), not by hand as for heads: arguments are numbers but for a few strings, decisions are mostly empty,
//! and connections are fewer than requests.

pub(super) mod ja4;
mod plan;
pub(super) mod types;

pub use plan::{AcceptInterest, CloseInterest, ConnectionPlan, HelloInterest};

use super::fields;
use super::lift::BadOutput;
use crate::chain::ConnectionDecision;
use crate::message::{Admission, Arrival, Attributes, ClientHello, Refusal};
use bytestring::ByteString;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Attributes of one decision.
const MOST_ATTRIBUTES: usize = 64;
/// All their names and values together, and the name of an upstream, bytes.
const MOST_BYTES: usize = 64 << 10;

/// The attributes of interest that are set.
pub(super) type Found<'a> = SmallVec<[(&'a str, Cow<'a, str>); 4]>;

pub(super) fn look_up<'a>(arrival: &'a Arrival, names: &'a [String]) -> Found<'a> {
    names.iter().filter_map(|name| Some((&**name, arrival.attribute(name)?))).collect()
}

pub(super) fn shown<'a>(found: &'a Found<'_>) -> SmallVec<[super::types::Attribute<'a>; 4]> {
    found.iter().map(|(name, value)| super::types::Attribute { name, value }).collect()
}

/// In the client's order; of a client that sends no list, the one it names.
pub(super) fn versions(hello: &ClientHello) -> &[u16] {
    if hello.versions.is_empty() { std::slice::from_ref(&hello.version) } else { &hello.versions }
}

/// One end, if it was asked for.
pub(super) fn address(asked: bool, at: Option<SocketAddr>) -> types::SocketAddress {
    match at.filter(|_| asked) {
        None => types::SocketAddress::Unknown,
        Some(at) => match at.ip().to_canonical() {
            IpAddr::V4(ip) => types::SocketAddress::Ipv4(types::Ipv4Socket { address: ip.to_bits(), port: at.port() }),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                types::SocketAddress::Ipv6(types::Ipv6Socket { high: (bits >> 64) as u64, low: bits as u64, port: at.port() })
            }
        },
    }
}

pub(super) fn accept_decision(raw: types::AcceptDecision) -> Result<ConnectionDecision, BadOutput> {
    let admission = match raw.verdict {
        types::AcceptVerdict::Next => Admission::Onward,
        types::AcceptVerdict::Reset => Admission::Refuse(Refusal::Reset),
        types::AcceptVerdict::Close => Admission::Refuse(Refusal::Close),
        types::AcceptVerdict::Forward(name) => Admission::Forward(upstream(name)?),
    };
    Ok(ConnectionDecision { admission, attributes: attributes(raw.attributes)? })
}

pub(super) fn hello_decision(raw: types::HelloDecision) -> Result<ConnectionDecision, BadOutput> {
    let admission = match raw.verdict {
        types::HelloVerdict::Next => Admission::Onward,
        types::HelloVerdict::Reset => Admission::Refuse(Refusal::Reset),
        types::HelloVerdict::Close => Admission::Refuse(Refusal::Close),
        types::HelloVerdict::Alert(number) => Admission::Refuse(Refusal::Alert(number)),
        types::HelloVerdict::Forward(name) => Admission::Forward(upstream(name)?),
        types::HelloVerdict::PassThrough(name) => Admission::PassThrough(upstream(name)?),
    };
    Ok(ConnectionDecision { admission, attributes: attributes(raw.attributes)? })
}

fn upstream(name: String) -> Result<ByteString, BadOutput> {
    match name.len() > MOST_BYTES {
        true => Err(BadOutput::new("the name of an upstream of more than 64 KiB")),
        false => Ok(name.into()),
    }
}

pub(super) fn attributes(raw: Vec<super::types::OwnedAttribute>) -> Result<Attributes, BadOutput> {
    if raw.len() > MOST_ATTRIBUTES {
        return Err(BadOutput::new(format!("{} attributes, more than {MOST_ATTRIBUTES}", raw.len())));
    }
    if raw.iter().map(|attribute| attribute.name.len() + attribute.value.len()).sum::<usize>() > MOST_BYTES {
        return Err(BadOutput::new("attributes of more than 64 KiB"));
    }
    raw.into_iter().map(|attribute| Ok((fields::attribute_name(&attribute.name)?, ByteString::from(attribute.value)))).collect()
}
