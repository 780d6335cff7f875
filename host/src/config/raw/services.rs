//! Components that are servers of upstreams: what each runs with.

use super::Context;
use super::node::{Node, Table, Value};
use super::reader::Reader;
use super::trust::Trust;
use crate::config::{
    Allow, BreakerSpec, Code, Component, Diagnostic, FailurePolicy, GuestLimits, Isolation, Location, PluginName, PluginSource, PluginSpec,
    ServerAddress, UpstreamName, UpstreamSpec,
};
use std::collections::BTreeMap;

/// Of every upstream. Those that are declared have their rights and limits from `[plugin.x]`.
pub fn read(
    context: &Context<'_>,
    root: &Reader<'_, '_>,
    upstreams: &BTreeMap<UpstreamName, UpstreamSpec>,
    plugins: &BTreeMap<PluginName, PluginSpec>,
    trust: &Trust,
) -> BTreeMap<Component, PluginSpec> {
    let mut services = BTreeMap::new();
    for (name, upstream) in upstreams {
        for (component, at) in upstream.components() {
            conflicts(context, name, upstream, at);
            if services.contains_key(component) {
                continue;
            }
            let spec = match component {
                Component::Declared(name) => declared(context, root, name, plugins.get(name)),
                Component::File(path) => Some(PluginSpec {
                    source: PluginSource::Path(path.clone()),
                    sha256: None,
                    signed_by: trust.by_default_at(context, at, &component.to_string()),
                    signature: None,
                    limits: GuestLimits::SERVICE,
                    isolation: Some(Isolation::Request),
                    remember: false,
                    fail: FailurePolicy::default(),
                    breaker: BreakerSpec::default(),
                    allow: Allow::default(),
                    at: at.clone(),
                    source_at: at.clone(),
                }),
            };
            services.extend(spec.map(|spec| (component.clone(), spec)));
        }
    }
    services
}

/// What is said about connections means nothing where there are none.
fn conflicts(context: &Context<'_>, name: &UpstreamName, upstream: &UpstreamSpec, at: &Location) {
    // Of servers beside it they say something.
    let alone = upstream.servers.iter().all(|server| matches!(server.address, ServerAddress::Component(_)));
    let asked = [
        (upstream.tls.is_some(), "tls"),
        (upstream.proxy_protocol.is_some(), "proxy-protocol"),
        (alone && upstream.health.is_some(), "health"),
        (alone && upstream.pool_idle.is_some(), "pool"),
    ];
    for (_, what) in asked.into_iter().filter(|(asked, _)| *asked) {
        let message = format!("`{what}` of [upstream.{name}] says nothing about a component, which runs in this process");
        let help = "leave it out, or put the component into an upstream of its own";
        context.report(Diagnostic::error(Code::Conflict, at.clone().into(), message).help(help));
    }
}

/// `[plugin.x]` as a service: with a service's limits where none are written, and nothing that only links have.
fn declared(context: &Context<'_>, root: &Reader<'_, '_>, name: &PluginName, spec: Option<&PluginSpec>) -> Option<PluginSpec> {
    let mut spec = spec?.clone();
    if let PluginSource::Bundled(bundled) = spec.source {
        let found = Diagnostic::error(Code::Conflict, spec.at.clone().into(), format!("the bundled plugin `{bundled}` is no service"));
        context.report(found.help("a service is a component for wasi:http/proxy, with a `source`"));
        return None;
    }
    let written = table(root, "plugin").and_then(|plugins| plugins.get(&name.0)).map(|entry| &entry.value);
    let Some(Node { value: Value::Table(written), .. }) = written else {
        spec.limits = GuestLimits::SERVICE;
        return Some(spec);
    };
    let only_links = |entry: Option<&super::node::Entry>| {
        if let Some(entry) = entry {
            let message = format!("`{}` says nothing about a service of wasi:http", entry.key);
            context.error::<()>(Code::Conflict, entry.key_span, message);
        }
    };
    ["isolate", "fail"].iter().for_each(|key| only_links(written.get(key)));
    if let Some(Value::Table(allow)) = written.get("allow").map(|entry| &entry.value.value) {
        allow.entries.iter().filter(|entry| entry.key != "http").for_each(|entry| only_links(Some(entry)));
    }
    let limits = match written.get("limits").map(|entry| &entry.value.value) {
        Some(Value::Table(limits)) => Some(limits),
        _ => None,
    };
    let says = |key: &str| limits.is_some_and(|limits| limits.get(key).is_some());
    let GuestLimits { memory, cpu, time } = GuestLimits::SERVICE;
    spec.limits.memory = if says("memory") { spec.limits.memory } else { memory };
    spec.limits.cpu = if says("cpu") { spec.limits.cpu } else { cpu };
    spec.limits.time = if says("time") { spec.limits.time } else { time };
    Some(spec)
}

fn table<'n>(root: &Reader<'n, '_>, key: &str) -> Option<&'n Table> {
    match &root.get(key)?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}
