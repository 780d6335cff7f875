//! `[site."name".routes]`: a string, a table, or a list of tables for each path pattern.

use super::Context;
use super::chains::Chains;
use super::fields;
use super::links::may_answer;
use super::names::Sort;
use super::node::{Entry, Node, Value};
use super::reader::{Reader, join, nearest, one_or_many};
use super::{injected, mirror, retry, shorthand};
use crate::config::source::Span;
use crate::config::{
    Code, Diagnostic, LinkOrigin, LinkSpec, MirrorSpec, PathMatch, RetrySpec, Route, RouteMatch, RouteTimeouts, UpstreamName,
};
use crate::config::{keys, pattern, units};
use std::time::Duration;

/// What the routes of a site have in common.
#[derive(Clone, Copy)]
pub struct Inherited<'s> {
    /// Outermost first.
    pub links: &'s [LinkSpec],
    pub mirror: Option<&'s MirrorSpec>,
}

/// Routes under one pattern; `path` is that of the routes table.
pub fn read(context: &Context<'_>, entry: &Entry, path: &str, chains: &Chains, inherited: Inherited<'_>) -> Vec<Route> {
    let several = matches!(entry.value.value, Value::Array(_));
    let nodes = one_or_many(&entry.value);
    if nodes.is_empty() {
        return context.error(Code::Missing, entry.value.span, "a list of routes has at least one").unwrap_or_default();
    }
    let read = |node| {
        let span = if several { context.header(node) } else { entry.key_span };
        one(context, entry, node, span, join(path, &entry.key), chains, inherited)
    };
    nodes.iter().filter_map(read).collect()
}

fn one(
    context: &Context<'_>,
    entry: &Entry,
    node: &Node,
    span: Span,
    path: String,
    chains: &Chains,
    inherited: Inherited<'_>,
) -> Option<Route> {
    let matched = || context.form(&entry.key, entry.key_span, |text| pattern::path(text, 0));
    if let Value::String(upstream) = &node.value {
        context.refer(Sort::Upstream, upstream, node.span);
        let route = Route {
            pattern: entry.key.clone(),
            matches: RouteMatch { path: matched()?, methods: Vec::new(), headers: Vec::new(), query: Vec::new() },
            to: Some(UpstreamName(upstream.clone())),
            chain: inherited.links.to_vec(),
            timeouts: RouteTimeouts::default(),
            retry: RetrySpec::default(),
            mirror: inherited.mirror.cloned(),
            injected: None,
            at: context.location(span),
        };
        if matches!(route.matches.path, PathMatch::Regex { .. }) {
            priority_missing(context, span, Some(format!("\"{}\" = {{ to = \"{upstream}\", priority = 10 }}", entry.key)));
        }
        return Some(route);
    }
    if !matches!(node.value, Value::Table(_)) {
        let example = format!("\"{}\" = \"app\"", entry.key);
        super::reader::wrong_type(context, node, "the name of an upstream or a table", Some(example));
        return None;
    }
    let reader = Reader::open(context, node, &keys::ROUTE, path)?;
    let matched = matched();
    let readable = matched.is_some();
    if let Some(path) = &matched {
        check_priority(context, &reader, path, span);
    }
    let priority = reader.whole("priority").and_then(|n| i32::try_from(n).ok()).unwrap_or_default();
    let matches = matches(context, &reader, matched.unwrap_or_else(any_path), priority);
    check_ends(context, &reader);
    let to = reader.string("to").map(|(name, span)| {
        context.refer(Sort::Upstream, name, span);
        UpstreamName(name.to_owned())
    });
    let mut chain = kept(context, &reader, inherited.links);
    chain.extend(shorthand::limit(context, &reader, LinkOrigin::Route));
    chain.extend(shorthand::headers(context, &reader, LinkOrigin::Route));
    chain.extend(chains.resolve(&chains.items(context, &reader), LinkOrigin::Route));
    chain.extend(shorthand::strip(context, &reader, &matches.path));
    chain.extend(shorthand::split(context, &reader));
    chain.extend(shorthand::redirect(context, &reader, &matches.path));
    chain.extend(shorthand::respond(context, &reader));
    let ends = ["to", "split", "redirect", "respond"].iter().any(|key| reader.entry(key).is_some());
    // A link or key that could not be read might have been the one.
    let unread = context.lost_links() || context.is_broken(span.file) || reader.others().next().is_some();
    if !ends && !unread && !chain.iter().any(|link| may_answer(context, link)) {
        no_destination(context, &reader, span);
    }
    let timeouts = timeouts(&reader);
    let retry = retry::read(context, &reader, timeouts.total);
    // What is answered here is not copied.
    let inherited = inherited.mirror.filter(|_| reader.entry("redirect").or(reader.entry("respond")).is_none());
    let mirror = mirror::of_route(context, &reader, inherited);
    let injected = injected::read(context, &reader);
    let route = Route { pattern: entry.key.clone(), matches, to, chain, timeouts, retry, mirror, injected, at: context.location(span) };
    readable.then_some(route)
}

fn no_destination(context: &Context<'_>, reader: &Reader<'_, '_>, span: Span) {
    let found =
        Diagnostic::error(Code::Missing, context.place(span), format!("{} has no destination, and no link that answers", reader.section()));
    context.report(found.help("for example: to = \"app\"").help("or one of split, redirect, respond, or a plugin of yours in `chain`"));
}

/// Stands for a pattern that could not be read, so that the rest of its route is still looked at.
fn any_path() -> PathMatch {
    PathMatch::Regex { regex: regex::Regex::new("").expect("the empty expression is valid"), priority: 0 }
}

fn check_priority(context: &Context<'_>, reader: &Reader<'_, '_>, path: &PathMatch, span: Span) {
    match (path, reader.entry("priority")) {
        (PathMatch::Regex { .. }, None) => priority_missing(context, span, Some("priority = 10".into())),
        (PathMatch::Exact(_) | PathMatch::Prefix(_), Some(entry)) => {
            let found = Diagnostic::error(Code::Conflict, context.place(entry.key_span), "only regular expressions have a priority");
            context.report(found.help("exact paths come first, then regular expressions, then the longest prefix"));
        }
        _ => {}
    }
}

fn matches(context: &Context<'_>, reader: &Reader<'_, '_>, mut path: PathMatch, order: i32) -> RouteMatch {
    if let PathMatch::Regex { priority, .. } = &mut path {
        *priority = order;
    }
    let Some(table) = reader.open_key("match", &keys::MATCH) else {
        return RouteMatch { path, methods: Vec::new(), headers: Vec::new(), query: Vec::new() };
    };
    RouteMatch { path, methods: fields::methods(&table), headers: fields::headers(context, &table), query: fields::query(context, &table) }
}

fn priority_missing(context: &Context<'_>, span: Span, example: Option<String>) {
    let found =
        Diagnostic::error(Code::Missing, context.place(span), "a regular expression needs `priority`, as none is longer than another");
    context.report(match example {
        Some(example) => found.help(format!("for example: {example}")),
        None => found,
    });
}

/// One of `to`, `split`, `redirect`, `respond`, and what goes with them.
fn check_ends(context: &Context<'_>, reader: &Reader<'_, '_>) {
    let mut ends = ["to", "split", "redirect", "respond"].into_iter().filter_map(|key| reader.entry(key));
    let first = ends.next();
    for other in ends {
        if let Some(first) = first {
            conflict(context, other, format!("`{}` and `{}` exclude each other", first.key, other.key), first);
        }
    }
    let answer = reader.entry("redirect").or_else(|| reader.entry("respond"));
    if let (Some(strip), Some(answer)) = (reader.entry("strip"), answer) {
        conflict(context, strip, format!("`strip` does nothing beside `{}`", answer.key), answer);
    }
    for key in ["timeout", "retry", "mirror", "fault"] {
        if let (Some(entry), Some(answer)) = (reader.entry(key), answer) {
            conflict(context, entry, format!("`{key}` does nothing beside `{}`", answer.key), answer);
        }
    }
    if let (Some(status), None) = (reader.entry("status"), reader.entry("redirect")) {
        let found = Diagnostic::error(Code::Conflict, context.place(status.key_span), "`status` belongs to `redirect`");
        context.report(found.help("a fixed answer is written respond = { status = 404, body = \"…\" }"));
    }
}

fn conflict(context: &Context<'_>, entry: &Entry, message: String, other: &Entry) {
    let found = Diagnostic::error(Code::Conflict, context.place(entry.key_span), message);
    context.report(found.note(context.place(other.key_span), format!("`{}` is here", other.key)));
}

/// The inherited links but for those that `without` names.
fn kept(context: &Context<'_>, reader: &Reader<'_, '_>, inherited: &[LinkSpec]) -> Vec<LinkSpec> {
    let without = reader.list("without", |name| Ok(name.to_owned())).unwrap_or_default();
    for (name, span) in &without {
        if inherited.iter().any(|link| link.name == *name) || context.lost_link(name) {
            continue;
        }
        let found = Diagnostic::error(Code::WithoutNothing, context.place(*span), format!("no inherited link is called `{name}`"));
        let mut names: Vec<&str> = inherited.iter().map(|link| &*link.name).collect();
        names.dedup();
        let near = nearest(name, names.iter().copied());
        let found = Diagnostic { label: near.map(|near| format!("did you mean `{near}`?")), ..found };
        context.report(found.help(if names.is_empty() {
            "nothing is inherited here".into()
        } else {
            format!("inherited: {}", names.join(", "))
        }));
    }
    inherited.iter().filter(|link| !without.iter().any(|(name, _)| *name == link.name)).cloned().collect()
}

fn timeouts(reader: &Reader<'_, '_>) -> RouteTimeouts {
    const LEAST: Duration = Duration::from_millis(1); // the timers' own step
    match reader.get("timeout") {
        None => RouteTimeouts::default(),
        Some(Node { value: Value::Table(_), .. }) => {
            let Some(table) = reader.open_key("timeout", &keys::TIMEOUT) else { return RouteTimeouts::default() };
            let part = |key: &str| table.duration(key, LEAST);
            RouteTimeouts { total: part("total"), response: part("response"), idle: part("idle") }
        }
        Some(Node { value: Value::String(_), .. }) => {
            let total = reader.form("timeout", |text| match units::duration(text)? {
                time if time < LEAST => Err(crate::config::forms::Wrong::whole(text, "at least 1ms")),
                time => Ok(time),
            });
            RouteTimeouts { total, ..RouteTimeouts::default() }
        }
        Some(other) => reader.wrong("timeout", other).unwrap_or_default(),
    }
}
