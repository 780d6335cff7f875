//! `[upstream.x]`: a string, a list, or a table.

use super::Context;
use super::build::section;
use super::health;
use super::node::{Node, Value};
use super::outbound::{self, Written};
use super::reader::{Reader, chosen, wrong_type};
use crate::config::diagnostic::Place;
use crate::config::forms::Wrong;
use crate::config::source::Span;
use crate::config::{
    Balance, Code, Diagnostic, HashKey, LimitsSpec, Location, Protocol, ProxyVersion, Running, StickySpec, UpstreamName, UpstreamSpec,
    forms, keys,
};
use std::collections::BTreeMap;
use std::time::Duration;

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>) -> BTreeMap<UpstreamName, UpstreamSpec> {
    let mut upstreams = BTreeMap::new();
    for (name, node, key_span, path) in section(root, "upstream") {
        let name = context.form(name, key_span, forms::name);
        let spec = match &node.value {
            Value::Table(_) => table(context, node, path),
            _ => short(context, node, key_span, &path),
        };
        if let (Some(name), Some(spec)) = (name, spec) {
            upstreams.insert(UpstreamName(name), spec);
        }
    }
    upstreams
}

/// `app = "10.0.0.1:8080"` or a list of these.
fn short(context: &Context<'_>, node: &Node, key_span: Span, path: &str) -> Option<UpstreamSpec> {
    if !matches!(node.value, Value::String(_) | Value::Array(_)) {
        wrong_type(context, node, "a server, a list of servers, or a table", Some("app = \"10.0.0.1:8080\"".into()));
        return None;
    }
    let servers = outbound::servers(context, node, path)?;
    let tls = outbound::implied(context, &servers, key_span);
    let protocol = outbound::protocol(context, &servers, tls.as_ref(), None);
    Some(UpstreamSpec { tls, protocol, ..plain(servers, context.location(key_span)) })
}

fn plain(servers: Vec<Written>, at: Location) -> UpstreamSpec {
    let servers = servers.into_iter().map(|server| server.spec).collect();
    UpstreamSpec { servers, ..UpstreamSpec::plain(Vec::new(), at) }
}

fn table(context: &Context<'_>, node: &Node, path: String) -> Option<UpstreamSpec> {
    let reader = Reader::open(context, node, &keys::UPSTREAM, path)?;
    let pool_idle = match reader.get("pool") {
        Some(Node { value: Value::Table(_), .. }) => reader.open_key("pool", &keys::POOL).and_then(|pool| pool.whole("idle")),
        Some(Node { value: Value::Integer(n), .. }) if (0..=100_000).contains(n) => Some(*n),
        Some(Node { value: Value::Integer(_) | Value::Vast, span }) => {
            context.error(Code::BadValue, *span, "`pool` is a whole number from 0 to 100000")
        }
        Some(other) => reader.wrong("pool", other),
        None => None,
    };
    let balance = balance(context, &reader);
    let sticky = sticky(&reader);
    let limits = limits(context, &reader);
    let slow_start = slow_start(context, &reader, &balance);
    let servers = outbound::servers(context, reader.get("servers")?, &reader.below("servers"))?;
    let tls = outbound::tls(context, &reader, &servers);
    let written = reader.get("protocol").and_then(|node| Some((PROTOCOLS.get(reader.choice("protocol")?).copied()?, node.span)));
    let protocol = outbound::protocol(context, &servers, tls.as_ref(), written);
    let pool_idle = pool_idle.and_then(|n| usize::try_from(n).ok());
    let proxy_protocol = reader.choice("proxy-protocol").map(|version| if version == 0 { ProxyVersion::V1 } else { ProxyVersion::V2 });
    let health = health::read(context, &reader);
    let plain = plain(servers, context.location(reader.span));
    Some(UpstreamSpec { balance, sticky, pool_idle, tls, protocol, proxy_protocol, health, limits, slow_start, ..plain })
}

/// Tells upstreams where we are, if their servers are in zones.
pub fn settle_in(context: &Context<'_>, upstreams: &mut BTreeMap<UpstreamName, UpstreamSpec>, here: Option<&str>) {
    for spec in upstreams.values_mut() {
        let Some(server) = spec.servers.iter().find(|server| server.zone.is_some()) else { continue };
        spec.zone = here.map(str::to_owned);
        if here.is_none() {
            let message = "a server is in a zone, and nothing says in which this machine is";
            let place: Place = server.at.clone().into();
            let found = Diagnostic::error(Code::Missing, place, message);
            context.report(found.help("for example: [server] zone = \"eu-1a\""));
        }
    }
}

/// Keys would move to a server and back while its share grows.
fn slow_start(context: &Context<'_>, reader: &Reader<'_, '_>, balance: &Balance) -> Option<Duration> {
    let time = reader.duration("slow-start", Duration::from_secs(1))?;
    if let (Balance::Hash(_), Some(entry)) = (balance, reader.entry("slow-start")) {
        let found = Diagnostic::error(Code::Conflict, context.place(entry.key_span), "`slow-start` does not go with balance = \"hash(…)\"");
        context.report(found.help("keys would move to another server, and back while the share of a new one grows"));
        return None;
    }
    Some(time)
}

/// In the order of [`keys::PROTOCOLS`].
const PROTOCOLS: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Auto];

fn balance(context: &Context<'_>, reader: &Reader<'_, '_>) -> Balance {
    let Some((text, span)) = reader.string("balance") else { return Balance::default() };
    if text.starts_with("hash") {
        return context.form(text, span, hash).map(Balance::Hash).unwrap_or_default();
    }
    match chosen(context, text, span, keys::BALANCES) {
        Some(1) => Balance::RoundRobin,
        Some(2) => Balance::Least,
        _ => Balance::P2c,
    }
}

fn sticky(upstream: &Reader<'_, '_>) -> Option<StickySpec> {
    let table = upstream.get("sticky").and_then(|_| upstream.open_key("sticky", &keys::UPSTREAM_STICKY))?;
    let max_age = table.duration("max-age", Duration::from_secs(1));
    table.form("cookie", forms::cookie_name).map(|cookie| StickySpec { cookie, max_age })
}

fn limits(context: &Context<'_>, upstream: &Reader<'_, '_>) -> Option<LimitsSpec> {
    let node = upstream.get("limits")?;
    let table = upstream.open_key("limits", &keys::UPSTREAM_LIMITS)?;
    let count = |key: &str| table.whole(key).and_then(|count| u32::try_from(count).ok());
    if ["running", "per-server", "connections"].into_iter().all(|key| table.get(key).is_none()) {
        return context.error(Code::Missing, node.span, "`limits` has none of `running`, `per-server` and `connections`");
    }
    let running = match table.get("running") {
        None => None,
        Some(Node { value: Value::String(text), span }) => chosen(context, text, *span, keys::RUNNING).map(|_| Running::Adaptive),
        Some(Node { value: Value::Integer(most @ 1..=10_000_000), .. }) => u32::try_from(*most).ok().map(Running::Most),
        Some(Node { value: Value::Integer(_) | Value::Vast, span }) => {
            context.error(Code::BadValue, *span, "`running` is a whole number from 1 to 10000000")
        }
        Some(other) => table.wrong("running", other),
    };
    Some(LimitsSpec {
        running,
        per_server: count("per-server"),
        connections: count("connections"),
        queue: count("queue").unwrap_or(100),
        wait: table.duration("wait", Duration::from_millis(1)).unwrap_or(Duration::from_secs(1)),
    })
}

/// `hash(client.ip)`
fn hash(text: &str) -> Result<HashKey, Wrong> {
    const HELP: &str = "for example: hash(client.ip), hash(path), hash(header:x-user) or hash(cookie:sid)";
    let inner = text.strip_prefix("hash(").and_then(|text| text.strip_suffix(')'));
    let Some(key) = inner else { return Err(Wrong::whole(text, "does not say by what").help(HELP)) };
    let from = "hash(".len();
    let within = |at: usize, wrong: Wrong| Wrong { at: wrong.at.start + from + at..wrong.at.end + from + at, ..wrong };
    match key.split_once(':') {
        None if key == "client.ip" => Ok(HashKey::Client),
        None if key == "path" => Ok(HashKey::Path),
        Some(("header", name)) => {
            let name = forms::header_name(name).map_err(|wrong| within("header:".len(), wrong))?;
            // It is one: that was just seen.
            name.parse().map(HashKey::Header).map_err(|_| Wrong::whole(text, "not a header name"))
        }
        Some(("cookie", name)) => forms::cookie_name(name).map(HashKey::Cookie).map_err(|wrong| within("cookie:".len(), wrong)),
        _ => Err(Wrong::at(from..text.len() - 1, "not a part of a request").help(HELP)),
    }
}
