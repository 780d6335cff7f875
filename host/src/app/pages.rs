//! What the admin API shows, as JSON: of the configuration what matters to whoever runs the proxy, beside it what has come of it. Secrets, keys and
//! what links are told of them are not in it.

use super::explain::{ExplainError, Explained, Question, explain_under, origin, path, tls};
use super::generation::Generation;
use super::granted::{own, terms};
use super::memory;
use super::watch::Watch;
use crate::admin::{Explain, Refusal, Topic};
use crate::config::{Config, Isolation, LinkSpec, PluginRef, Route, UpstreamName, show_duration};
use crate::observe::{RouteSum, Times};
use crate::sandbox::{Capability, Counts, bundled};
use crate::upstream::{LookUp, Query, seconds_since, seconds_until};
use http::{Method, Uri};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A page of the API.
pub fn page(topic: Topic, watch: &Watch, generation: &Generation) -> Value {
    let config = &generation.prepared.config;
    match topic {
        Topic::Status => status(watch, generation),
        Topic::Sites => config.sites.iter().map(|site| {
            let client = site.client.as_ref().map(|client| if client.require { "required" } else { "optional" });
            let aliases: Vec<String> = site.aliases.iter().map(ToString::to_string).collect();
            json!({ "name": site.name.to_string(), "aliases": aliases, "tls": tls(&site.tls), "client_certificates": client, "routes": site.routes.len(), "at": site.at.to_string() })
        }).collect(),
        Topic::Routes => routes(watch, config),
        Topic::Upstreams => upstreams(watch, generation),
        Topic::Certificates => certificates(generation),
        Topic::Plugins => plugins(watch, generation),
        Topic::Refusals => watch.registry.recent().iter().map(refusal).collect(),
    }
}

/// What the configuration that is served would make of a request.
pub fn explain(asked: &Explain, generation: &Generation) -> Result<Value, Refusal> {
    let wrong = |what: &dyn std::fmt::Display| Refusal::Question(what.to_string());
    let method = asked.method.parse::<Method>().map_err(|error: http::method::InvalidMethod| wrong(&error))?;
    let url = asked.url.parse::<Uri>().map_err(|error: http::uri::InvalidUri| wrong(&error))?;
    let question = Question { method, url, headers: asked.headers.clone() };
    let memory = |config: &Config, chain: &[LinkSpec]| memory::known(&generation.prepared.filters, config, chain);
    let explained = explain_under(generation.prepared.config.clone(), question, memory);
    let mut answer = explained.as_ref().map(Explained::json).map_err(|error: &ExplainError| wrong(error))?;
    // The servers that there are, where names are written.
    let sets = generation.discovery().now();
    let found = answer["upstream"]["name"].as_str().and_then(|name| sets.specs.get(&UpstreamName(name.to_owned())));
    if let Some(spec) = found.filter(|spec| spec.servers.iter().any(|server| server.found_by.is_some())) {
        answer["upstream"]["found"] = spec.servers.iter().map(ToString::to_string).collect();
    }
    Ok(answer)
}

fn status(watch: &Watch, generation: &Generation) -> Value {
    let listeners = generation
        .listeners
        .iter()
        .flat_map(|bound| bound.words().map(move |word| json!({ "kind": word, "address": bound.address.to_string() })));
    let reasons = watch.registry.reasons().into_iter();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "standing": if watch.is_draining() { "draining" } else { "serving" },
        "uptime_seconds": watch.registry.uptime().as_secs(),
        "generation": generation.number,
        "generations": watch.generations.numbers(),
        "connections": watch.connections(),
        "exchanges": watch.registry.active(),
        "warnings": generation.prepared.report.warnings(),
        "listeners": listeners.collect::<Vec<_>>(),
        "reasons": reasons.map(|((of, reason), count)| json!({ "of": of, "reason": reason, "count": count })).collect::<Vec<_>>(),
    })
}

fn routes(watch: &Watch, config: &Config) -> Value {
    let sums = watch.registry.routes();
    let route = |site: &str, route: &Route| {
        let link = |link: &LinkSpec| json!({ "name": link.name, "plugin": link.plugin.to_string(), "from": origin(&link.origin), "conditional": link.when.is_some(), "at": link.at.to_string() });
        let methods: Vec<_> = route.matches.methods.iter().map(http::Method::as_str).collect();
        json!({
            "site": site, "pattern": route.pattern, "path": path(&route.matches.path), "methods": methods,
            "chain": route.chain.iter().map(link).collect::<Vec<_>>(), "to": route.to.as_ref().map(ToString::to_string),
            "at": route.at.to_string(), "traffic": traffic(sums.get(&(site.into(), route.pattern.as_str().into()))),
        })
    };
    let of_site = |site: &crate::config::Site| {
        let name = site.name.to_string();
        site.routes.iter().map(|one| route(&name, one)).collect::<Vec<_>>()
    };
    config.sites.iter().flat_map(of_site).collect()
}

fn traffic(sum: Option<&RouteSum>) -> Value {
    let statuses = sum.map_or([0; 6], |sum| sum.statuses);
    let [none, informational, success, redirection, client, server] = statuses;
    json!({
        "requests": statuses.iter().sum::<u64>(),
        "statuses": { "none": none, "1xx": informational, "2xx": success, "3xx": redirection, "4xx": client, "5xx": server },
        "seconds": sum.map_or(0.0, |sum| sum.times.nanos as f64 / 1e9),
        "times": sum.map(|sum| times(&sum.times)).unwrap_or_default(),
    })
}

/// How many took no longer than so many seconds, and longer than those before; the last: longer than all.
fn times(times: &Times) -> Vec<Value> {
    let bounds = times.bounds.iter().map(|(nanos, _)| json!(*nanos as f64 / 1e9)).chain([Value::Null]);
    bounds.zip(&times.buckets).map(|(up_to, count)| json!({ "up_to": up_to, "count": count })).collect()
}

fn upstreams(watch: &Watch, generation: &Generation) -> Value {
    let (config, sets) = (&generation.prepared.config, generation.discovery().now());
    let sums = watch.registry.upstreams();
    let one = |(name, spec): (&crate::config::UpstreamName, &crate::config::UpstreamSpec)| {
        let sum = sums.get(&*name.0).copied().unwrap_or_default();
        let names: Vec<_> = generation.discovery().of(spec).iter().map(name_page).collect();
        let servers = &sets.specs.get(name).unwrap_or(spec).servers;
        json!({
            "name": name.0, "servers": servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>(), "balance": spec.balance.to_string(),
            "tls": spec.tls.is_some(), "protocol": spec.protocol.as_str(), "names": names, "at": spec.at.to_string(),
            "drained": watch.drains.list(&name.0),
            "requests": sum.requests, "active": sum.active, "idle": sum.idle, "retries": sum.retries, "failures": sum.failures,
        })
    };
    config.upstreams.iter().map(one).collect()
}

/// What is to be known of a server before it is stopped. `None`: there is no such server, written or found by name.
pub fn server(watch: &Watch, generation: &Generation, upstream: &str, server: &str) -> Option<Value> {
    let sets = generation.discovery().now();
    let (_, spec) = sets.specs.iter().find(|(name, _)| name.0 == upstream)?;
    spec.servers.iter().find(|one| one.address.to_string() == server)?;
    let active = watch.registry.servers(upstream).get(server).copied().unwrap_or(0);
    let drained = watch.drains.list(upstream).iter().any(|out| out == server);
    Some(json!({ "upstream": upstream, "server": server, "drained": drained, "active": active }))
}

/// A name that is looked up, and what has come of it.
fn name_page((query, known): &(Query, LookUp)) -> Value {
    let found = known.found.iter().map(|found| {
        let mut page = match &found.record {
            None => json!({ "ip": found.ip }),
            Some(record) => {
                json!({ "ip": found.ip, "port": record.port, "priority": record.priority, "weight": record.weight, "host": record.host })
            }
        };
        if let Some(also) = found.also {
            page["also"] = json!(also);
        }
        page
    });
    json!({
        "name": query.to_string(), "found": found.collect::<Vec<_>>(), "age_seconds": known.good.map(seconds_since),
        "next_seconds": known.next.map(seconds_until), "lookups": known.lookups, "failed": known.failed, "error": known.why,
    })
}

fn refusal(one: &crate::observe::Refusal) -> Value {
    let at = OffsetDateTime::from(one.at).format(&Rfc3339).unwrap_or_default();
    json!({
        "at": at, "reason": one.reason, "status": one.status, "method": one.method, "scheme": one.scheme, "host": one.host, "path": one.path,
    })
}

fn certificates(generation: &Generation) -> Value {
    let (papers, now) = (&generation.prepared.papers, OffsetDateTime::now_utc());
    let listed = papers.stores().into_iter().flat_map(|store| store.listed());
    let one = |listed: crate::certs::Listed| {
        let certificate = listed.certificate.map(|certificate| {
            json!({
                "subject": certificate.subject, "issuer": certificate.issuer,
                "not_after": certificate.not_after.format(&Rfc3339).unwrap_or_default(), "days_left": certificate.days_left(now),
            })
        });
        json!({ "site": listed.site, "from": listed.from, "certificate": certificate })
    };
    listed.map(one).collect()
}

fn plugins(watch: &Watch, generation: &Generation) -> Value {
    let prepared = &generation.prepared;
    let (digests, mut counts) = (prepared.filters.digests(), watch.counts());
    let links = links(&prepared.config);
    let mut pages = Vec::new();
    for (plugin, links) in links {
        let Some(link) = links.first() else { continue };
        let spec = match plugin {
            PluginRef::Declared(name) => prepared.config.plugins.get(name),
            PluginRef::Bundled(_) => None,
        };
        let due = own(plugin, spec).map_or(&[][..], bundled::rights);
        let granted = |capability: &Capability| due.contains(capability) || spec.is_some_and(|spec| capability.is_in(&spec.allow));
        let limits = terms(link, spec).limits;
        let name = plugin.to_string();
        let filter = prepared.filters.of(link);
        pages.push(json!({
            "name": name,
            "bundled": own(plugin, spec).is_some(),
            "sha256": digests.get(plugin).map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
            "version": filter.map(|filter| filter.plugin().description().version.to_string()),
            "may": Capability::ALL.into_iter().filter(granted).map(Capability::interface).collect::<Vec<_>>(),
            "isolate": filter.map(|filter| if filter.isolation() == Isolation::Worker { "worker" } else { "request" }),
            "limits": { "memory_bytes": limits.memory, "cpu": show_duration(limits.cpu), "time": (limits.time != std::time::Duration::MAX).then(|| show_duration(limits.time)) },
            "links": links.iter().map(|link| link.name.as_str()).collect::<BTreeSet<_>>(),
            "counts": counted(counts.remove(&name).unwrap_or_default()),
        }));
    }
    pages.into()
}

/// Every link, by plugin.
fn links(config: &Config) -> BTreeMap<&PluginRef, Vec<&LinkSpec>> {
    let routes = config.sites.iter().flat_map(|site| &site.routes).flat_map(|route| &route.chain);
    let all = routes.chain(&config.listen.chain).chain(config.tcp.iter().flat_map(|listener| &listener.chain));
    let mut links = BTreeMap::<_, Vec<_>>::new();
    all.for_each(|link| links.entry(&link.plugin).or_default().push(link));
    links
}

fn counted(counts: Counts) -> Value {
    let Counts { calls, trap, timeout, memory, bad_output, overload, hits, misses, alive, bytes, open, opened, cpu, .. } = counts;
    json!({
        "calls": calls, "cpu_seconds": cpu as f64 / 1e9,
        "faults": { "trap": trap, "timeout": timeout, "memory": memory, "bad_output": bad_output, "overload": overload },
        "remembered": { "hits": hits, "misses": misses },
        "guests": alive, "memory_bytes": bytes, "breakers_open": open, "breakers_opened": opened,
    })
}
