//! Upstreams in words: their servers, what else holds for them, and when another server is tried.

use crate::config::{Config, Limits, Protocol, RetrySpec, UpstreamServer, UpstreamSpec, show_duration};
use serde_json::{Value, json};

pub(in crate::app) fn servers(spec: &UpstreamSpec) -> String {
    let servers: Vec<_> = spec.servers.iter().map(ToString::to_string).collect();
    format!("{}{}", servers.join(" "), if spec.tls.is_some() { "  over TLS" } else { "" })
}

/// What else holds for an upstream, if anything does.
pub(super) fn terms(spec: &UpstreamSpec, config: &Config) -> Vec<(&'static str, String)> {
    let sticky = spec.sticky.as_ref().map(|sticky| ("sticky", format!("cookie {}", sticky.cookie)));
    let health = spec.health.as_ref().map(|health| ("health", health.to_string()));
    let limits = spec.limits.as_ref().map(|limits| ("limits", limits.to_string()));
    let slow_start = spec.slow_start.map(|time| ("slow start", show_duration(time)));
    let zone = spec.zone.as_ref().map(|zone| ("zone", format!("{zone} is ours, and comes first")));
    let lookup = looked_up(spec, config).map(|text| ("lookup", text));
    let protocol = (spec.protocol != Protocol::Http1).then(|| ("protocol", spec.protocol.shown(spec.tls.is_some()).to_owned()));
    [protocol, lookup, zone, sticky, health, limits, slow_start].into_iter().flatten().collect()
}

/// Which names are looked up where.
fn looked_up(spec: &UpstreamSpec, config: &Config) -> Option<String> {
    let names: Vec<&str> = spec.servers.iter().filter_map(|server| server.address.name()).collect();
    let resolver = &config.server.resolver;
    let asked = match &**resolver {
        [] => "as /etc/hosts and /etc/resolv.conf say".to_owned(),
        asked => format!("in /etc/hosts and at {}", asked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    };
    (!names.is_empty()).then(|| format!("{} {asked}; each address is a server", names.join(" ")))
}

/// When another server is tried.
pub(super) fn retry(spec: &RetrySpec, limits: &Limits) -> String {
    let words = [(spec.connect, "connect"), (spec.reset, "reset"), (spec.timeout, "timeout")];
    let mut on: Vec<String> = words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
    on.extend(spec.statuses.iter().map(ToString::to_string));
    let tries = spec.tries.unwrap_or(limits.retries + 1);
    if tries == 1 || on.is_empty() {
        return "never".to_owned();
    }
    let per_try = spec.per_try.map(|time| format!(", {} each", show_duration(time))).unwrap_or_default();
    let hedge = spec.hedge.map(|time| format!(", another server as well after {}", show_duration(time))).unwrap_or_default();
    format!("on {}: {tries} tries{per_try}{hedge}, budget {}%", on.join(", "), spec.budget.unwrap_or(limits.retry_budget))
}

pub(in crate::app) fn server_json(server: &UpstreamServer) -> Value {
    json!({
        "address": server.address.to_string(), "weight": server.weight, "tags": server.tags, "priority": server.priority, "zone": server.zone,
        "at": server.at.to_string(),
    })
}
