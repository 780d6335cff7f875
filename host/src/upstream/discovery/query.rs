//! What is looked up for an upstream, and what the answers make of it.

use crate::config::{ServerAddress, UpstreamServer, UpstreamSpec};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// The addresses of a host.
    Host(String),
    /// The hosts of a service (RFC 2782), and their addresses.
    Service(String),
}

/// One thing that was found. Answers are in their order, so that the same servers in another one are the same answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub ip: IpAddr,
    /// Of the other family, where the host has one address of each.
    pub also: Option<IpAddr>,
    /// `None`: as it is written.
    pub record: Option<Record>,
}

/// What an SRV record says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub port: u16,
    pub priority: u16,
    pub weight: u16,
    pub host: String,
}

impl Query {
    /// `None`: the address leads there by itself.
    pub fn of(address: &ServerAddress) -> Option<Self> {
        let name = address.name()?.to_owned();
        Some(if matches!(address, ServerAddress::Service { .. }) { Self::Service(name) } else { Self::Host(name) })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Host(name) | Self::Service(name)) = self;
        f.write_str(name)
    }
}

/// The upstream with what was `found` in the place of names. What was found twice is one server, the first.
pub fn expand<'f>(spec: &UpstreamSpec, found: impl Fn(&Query) -> &'f [Found]) -> UpstreamSpec {
    let mut servers = Vec::new();
    for written in &spec.servers {
        match Query::of(&written.address) {
            None => servers.push(written.clone()),
            Some(query) => servers.extend(found(&query).iter().map(|found| placed(written, found))),
        }
    }
    let mut seen = BTreeSet::new();
    servers.retain(|server| seen.insert(server.address.clone()));
    UpstreamSpec { servers, ..spec.clone() }
}

fn placed(written: &UpstreamServer, found: &Found) -> UpstreamServer {
    let host = found.ip.to_string();
    let found_by = Some(written.address.clone());
    match (&found.record, &written.address) {
        // Zero means "hardly ever" beside others, and all zero that nobody is preferred: either is what one is.
        (Some(record), _) => UpstreamServer {
            address: ServerAddress::Tcp { host, port: record.port },
            weight: u32::from(record.weight).max(1),
            priority: record.priority,
            found_by,
            also: found.also,
            ..written.clone()
        },
        (None, ServerAddress::Tcp { port, .. }) => {
            UpstreamServer { address: ServerAddress::Tcp { host, port: *port }, found_by, also: found.also, ..written.clone() }
        }
        // Not so: whoever asks for a host has its port.
        (None, _) => written.clone(),
    }
}
