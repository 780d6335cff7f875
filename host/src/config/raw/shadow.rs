//! Routes that can never match, because another one takes every request of theirs (E011).
//!
//! Finds what is certain: equal conditions, and regular expressions that plainly match everything. Does not compare regular
//! expressions with each other beyond their text.

use super::Context;
use crate::config::diagnostic::Place;
use crate::config::{Code, Diagnostic, FieldMatch, Location, PathMatch, Route, pattern};
use std::collections::BTreeMap;

/// What must be equal for one route to stand in another's way; methods are counted up.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'r> {
    kind: u8,
    path: &'r str,
    headers: Vec<(&'r str, Option<&'r str>)>,
    query: Vec<(&'r str, Option<&'r str>)>,
    /// Routes with a method come before those without, so they do not hide each other.
    any_method: bool,
}

/// Reports routes of one site that never match.
pub fn report(context: &Context<'_>, routes: &[Route]) {
    let mut earlier: BTreeMap<Key<'_>, Vec<&Route>> = BTreeMap::new();
    for route in by_priority(routes) {
        let others = earlier.entry(key(route)).or_default();
        if let Some(by) = hidden_by(route, others) {
            shadowed(context, route, by);
        }
        others.push(route);
    }
    report_catch_all(context, routes);
}

/// In file order, but regular expressions by falling priority.
fn by_priority(routes: &[Route]) -> Vec<&Route> {
    let mut sorted: Vec<&Route> = routes.iter().collect();
    sorted.sort_by_key(|route| match &route.matches.path {
        PathMatch::Regex { priority, .. } => -i64::from(*priority),
        _ => 0,
    });
    sorted
}

fn key(route: &Route) -> Key<'_> {
    let (kind, path) = match &route.matches.path {
        PathMatch::Exact(path) => (0, &**path),
        PathMatch::Regex { regex, .. } => (1, regex.as_str()),
        PathMatch::Prefix(path) => (2, &**path),
    };
    Key {
        kind,
        path,
        headers: pairs(&route.matches.headers),
        query: pairs(&route.matches.query),
        any_method: route.matches.methods.is_empty(),
    }
}

fn pairs(fields: &[FieldMatch]) -> Vec<(&str, Option<&str>)> {
    fields.iter().map(|field| (&*field.name, field.value.as_deref())).collect()
}

/// The last of the routes that together take every method of this one.
fn hidden_by<'r>(route: &Route, others: &[&'r Route]) -> Option<&'r Route> {
    let last = others.last()?;
    let taken = |method: &http::Method| others.iter().any(|other| other.matches.methods.contains(method));
    let methods = &route.matches.methods;
    if !methods.iter().all(taken) {
        return None;
    }
    let single = others.iter().find(|other| methods.iter().all(|method| other.matches.methods.contains(method)));
    Some(single.unwrap_or(last))
}

fn shadowed(context: &Context<'_>, route: &Route, by: &Route) {
    let message = format!("route `{}` can never match: `{}` at {} takes all its requests", route.pattern, by.pattern, by.at);
    let found = Diagnostic::error(Code::RouteShadowed, whole(&route.at), message);
    context.report(found.note(whole(&by.at), "this one comes first"));
}

fn whole(at: &Location) -> Place {
    Place::from(at.clone())
}

/// An expression that matches everything, without further conditions, leaves nothing to prefixes and to later expressions.
fn report_catch_all(context: &Context<'_>, routes: &[Route]) {
    let all = |route: &&Route| {
        let free = route.matches.methods.is_empty() && route.matches.headers.is_empty() && route.matches.query.is_empty();
        matches!(&route.matches.path, PathMatch::Regex { regex, .. } if free && pattern::matches_everything(regex))
    };
    let sorted = by_priority(routes);
    let Some(by) = sorted.iter().copied().find(all) else { return };
    let PathMatch::Regex { priority: most, .. } = by.matches.path else { return };
    for route in routes {
        match &route.matches.path {
            PathMatch::Prefix(_) => shadowed(context, route, by),
            PathMatch::Regex { priority, .. } if *priority < most => shadowed(context, route, by),
            _ => {}
        }
    }
}
