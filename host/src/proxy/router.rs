//! Which site and route a request belongs to, at a cost that does not grow with their number.
//!
//! Sites are found by exact name, then by wildcard suffix from the longest to the shortest, then `*`. Within a site, in the order of
//! precedence of the Gateway API (see [`crate::config::Route`]): exact paths by one look-up, regular expressions one by one, prefixes by
//! one look-up for each element boundary of the path. `explain.rs` says the same the slow way, with reasons; a test holds the two
//! together.

use super::paths::{Candidate, Lengths, Names, Part, Paths, PathsBuilder};
use crate::config::{FieldMatch, PathMatch, Route, RouteMatch, Site, SiteName};
use crate::message::RequestHead;
use std::cmp::Reverse;
use std::ops::Range;

/// Made once per snapshot from the sites in file order. Holds nothing of a route but what tells it from others.
#[derive(Debug, Default)]
pub struct Router {
    /// Each site's name and then its paths: what one request needs stands together.
    text: Box<str>,
    names: Names,
    /// Held without the `*.`.
    wildcards: Names,
    any: Option<u32>,
    sites: Vec<SiteTable>,
    exact: Paths,
    prefixes: Paths,
    /// Of all sites, each site's in the order of precedence.
    regexes: Vec<(regex::Regex, Candidate)>,
}

/// What to look for among all sites' paths.
#[derive(Debug)]
struct SiteTable {
    exact: Lengths,
    prefixes: Lengths,
    regexes: Range<u32>,
}

/// Indices into the snapshot's sites, and into all its routes, counted through in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub site: usize,
    pub route: usize,
}

/// No route takes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// No site has this name.
    Site,
    /// The site of this index has no route whose every condition holds. A route that wants another method is no match, as in the Gateway
    /// API: it does not make the answer a 405, since another route may own that path for that method.
    Route { site: usize },
}

/// What a route asks for beyond its path; most ask for nothing.
#[derive(Debug)]
pub(super) struct Conditions {
    methods: Box<[http::Method]>,
    headers: Box<[FieldMatch]>,
    query: Box<[FieldMatch]>,
}

impl Router {
    pub fn new(sites: &[Site]) -> Self {
        let (mut router, mut text) = (Self::default(), String::new());
        let mut first_route = 0;
        for (index, site) in (0_u32..).zip(sites) {
            match &site.name {
                SiteName::Exact(name) => {
                    let name = Part::add(&mut text, name);
                    router.names.add(&text, name, index);
                }
                SiteName::Wildcard(suffix) => {
                    let suffix = Part::add(&mut text, suffix);
                    router.wildcards.add(&text, suffix, index);
                }
                SiteName::Any => router.any = Some(index),
            }
            router.enter(index, &site.routes, first_route, &mut text);
            first_route += u32::try_from(site.routes.len()).expect("fewer than 2^32 routes fit in memory");
        }
        Self { text: text.into(), ..router }
    }

    /// Takes up the routes of a site, of which the first is number `first`.
    fn enter(&mut self, site: u32, routes: &[Route], first: u32, text: &mut String) {
        let (mut exact, mut prefixes, mut regexes) = (PathsBuilder::default(), PathsBuilder::default(), Vec::new());
        for (route, spec) in (first..).zip(routes) {
            let candidate = Candidate { route, conditions: Conditions::of(&spec.matches).map(Box::new) };
            match &spec.matches.path {
                PathMatch::Exact(path) => exact.add(path, candidate),
                PathMatch::Prefix(path) => prefixes.add(path, candidate),
                PathMatch::Regex { regex, priority } => regexes.push((Reverse(*priority), regex.clone(), candidate)),
            }
        }
        // Stable, and candidates come in file order: the last rule of precedence.
        regexes.sort_by(|(a_priority, _, a), (b_priority, _, b)| (a_priority, a.rank()).cmp(&(b_priority, b.rank())));
        let count = |regexes: &[_]| u32::try_from(regexes.len()).expect("fewer than 2^32 routes fit in memory");
        let from = count(&self.regexes);
        self.regexes.extend(regexes.into_iter().map(|(_, regex, candidate)| (regex, candidate)));
        self.sites.push(SiteTable {
            exact: exact.enter(site, text, &mut self.exact),
            prefixes: prefixes.enter(site, text, &mut self.prefixes),
            regexes: from..count(&self.regexes),
        });
    }

    /// The site that answers to a host (in normal form, without port).
    pub fn site(&self, host: &str) -> Option<usize> {
        let exact = self.names.get(&self.text, host);
        exact.or_else(|| self.wildcard(host)).or(self.any).map(|index| index as usize)
    }

    /// The route of the site that takes this request.
    pub fn route(&self, site: usize, head: &RequestHead) -> Result<Found, Missed> {
        let route = self.sites.get(site).and_then(|table| self.within(site as u32, table, head));
        route.map(|route| Found { site, route: route as usize }).ok_or(Missed::Route { site })
    }

    fn within(&self, site: u32, table: &SiteTable, head: &RequestHead) -> Option<u32> {
        let (text, path): (&str, &str) = (&self.text, &head.path);
        self.exact
            .at(text, site, table.exact, path, head)
            .or_else(|| self.by_regex(table, path, head))
            .or_else(|| self.prefixes.above(text, site, table.prefixes, path, head))
    }

    fn by_regex(&self, table: &SiteTable, path: &str, head: &RequestHead) -> Option<u32> {
        let Range { start, end } = table.regexes;
        let mut regexes = self.regexes.get(start as usize..end as usize)?.iter();
        regexes.find(|(regex, candidate)| regex.is_match(path) && candidate.takes(head)).map(|(_, candidate)| candidate.route)
    }

    /// Both at once; `host` is `head.authority` without its port.
    pub fn find(&self, host: &str, head: &RequestHead) -> Result<Found, Missed> {
        self.route(self.site(host).ok_or(Missed::Site)?, head)
    }

    /// The longest suffix first, since it begins at the first dot.
    fn wildcard(&self, host: &str) -> Option<u32> {
        if self.wildcards.is_empty() {
            return None;
        }
        let dots = memchr::memchr_iter(b'.', host.as_bytes());
        dots.filter_map(|dot| host.get(dot + 1..)).find_map(|suffix| self.wildcards.get(&self.text, suffix))
    }
}

impl Conditions {
    fn of(matches: &RouteMatch) -> Option<Self> {
        let RouteMatch { path: _, methods, headers, query } = matches;
        let any = methods.is_empty() && headers.is_empty() && query.is_empty();
        (!any).then(|| Self { methods: methods.as_slice().into(), headers: headers.as_slice().into(), query: query.as_slice().into() })
    }

    fn hold(&self, head: &RequestHead) -> bool {
        (self.methods.is_empty() || self.methods.contains(&head.method))
            && FieldMatch::all_in_headers(&self.headers, &head.headers)
            && FieldMatch::all_in_query(&self.query, head.query.as_deref())
    }
}

impl Candidate {
    pub(super) fn takes(&self, head: &RequestHead) -> bool {
        self.conditions.as_ref().is_none_or(|conditions| conditions.hold(head))
    }

    /// Among routes of one path, the smallest goes first: a method match, most header matches, most query matches.
    pub(super) fn rank(&self) -> Reverse<(bool, usize, usize)> {
        Reverse(
            self.conditions
                .as_ref()
                .map_or((false, 0, 0), |conditions| (!conditions.methods.is_empty(), conditions.headers.len(), conditions.query.len())),
        )
    }
}

#[cfg(test)]
pub(super) mod tests;
