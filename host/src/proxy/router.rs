//! Which site and route a request belongs to, at a cost that does not grow with their number.
//!
//! Sites are found by exact name, then by wildcard suffix from the longest to the shortest, then `*`. Within a site, in the order of
//! precedence of the Gateway API (see [`crate::config::Route`]): exact paths by one look-up, regular expressions one by one, prefixes by
//! one look-up for each element boundary of the path. `explain.rs` says the same the slow way, with reasons; a test holds the two
//! together.

use super::paths::{Candidate, Lengths, Names, Part, Paths, PathsBuilder};
use super::snapshot::SiteEntry;
use crate::config::{FieldMatch, PathMatch, Route, RouteMatch, Site, SiteName};
use crate::message::RequestHead;
use bytestring::ByteString;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

/// Made once per snapshot from the sites in file order; each worker has a copy with a text of its own.
#[derive(Debug)]
pub struct Router {
    tables: Arc<Tables>,
    /// Each site's aliases, its name and then its routes' patterns, in which their paths are: what one request needs stands together. Parts of it that
    /// are handed out share its reference count, which is in the cache; each one's own would not be.
    text: ByteString,
}

/// Where what stands in the text leads. Small, since the next request may be for any other site.
#[derive(Debug, Default)]
struct Tables {
    names: Names,
    /// Held without the `*.`.
    wildcards: Names,
    any: Option<u32>,
    sites: Vec<SiteTable>,
    /// Of all sites, in file order.
    routes: Vec<RouteEntry>,
    exact: Paths,
    prefixes: Paths,
    /// Of all sites, each site's in the order of precedence.
    regexes: Vec<(regex::Regex, Candidate)>,
}

/// What to look for among all sites' paths.
#[derive(Debug)]
struct SiteTable {
    name: Part,
    exact: Lengths,
    prefixes: Lengths,
    regexes: Range<u32>,
    entry: SiteEntry,
}

/// What is needed of a route once it is found.
#[derive(Debug, Clone, Copy, Default)]
struct RouteEntry {
    pattern: Part,
    /// Index into the snapshot's.
    terms: u32,
}

/// A site that was found by its name.
#[derive(Debug, Clone, Copy)]
pub struct SiteFound {
    pub site: usize,
    /// Which clients it takes, and how.
    pub entry: SiteEntry,
    name: Part,
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
    /// `terms` gives the index of what a route is passed on by.
    pub fn new<'c>(sites: &'c [Site], mut terms: impl FnMut(&'c Route) -> u32) -> Self {
        let (mut tables, mut text) = (Tables::default(), String::new());
        for (index, site) in (0_u32..).zip(sites) {
            for alias in &site.aliases {
                tables.call(alias, index, &mut text);
            }
            let name = tables.call(&site.name, index, &mut text);
            tables.enter(index, name, site, &mut text, &mut terms);
        }
        Self { tables: Arc::new(tables), text: text.into() }
    }

    /// For another worker: nothing that is counted is shared.
    pub fn copy(&self) -> Self {
        Self { tables: Arc::clone(&self.tables), text: self.text.to_string().into() }
    }

    /// The site that answers to a host (in normal form, without port).
    pub fn site(&self, host: &str) -> Option<SiteFound> {
        let Tables { names, wildcards, any, sites, .. } = &*self.tables;
        let exact = names.get(&self.text, host);
        let site = exact.or_else(|| wildcards.get_above(&self.text, host)).or(*any)? as usize;
        sites.get(site).map(|table| SiteFound { site, entry: table.entry, name: table.name })
    }

    /// The route of the site that takes this request.
    pub fn route(&self, site: usize, head: &RequestHead) -> Result<Found, Missed> {
        let table = self.tables.sites.get(site);
        let route = table.and_then(|table| self.tables.within(&self.text, site as u32, table, head));
        route.map(|route| Found { site, route: route as usize }).ok_or(Missed::Route { site })
    }

    /// Both at once; `host` is `head.authority` without its port.
    pub fn find(&self, host: &str, head: &RequestHead) -> Result<Found, Missed> {
        self.route(self.site(host).ok_or(Missed::Site)?.site, head)
    }

    pub fn name(&self, site: SiteFound) -> ByteString {
        self.part(site.name)
    }

    /// A route's pattern, and the index of its terms.
    pub fn entry(&self, route: usize) -> Option<(ByteString, usize)> {
        self.tables.routes.get(route).map(|entry| (self.part(entry.pattern), entry.terms as usize))
    }

    /// Of all sites.
    pub fn routes(&self) -> usize {
        self.tables.routes.len()
    }

    fn part(&self, part: Part) -> ByteString {
        self.text.slice_ref(part.of(&self.text))
    }
}

impl Tables {
    /// Leads from a name to the site of this index.
    fn call(&mut self, name: &SiteName, index: u32, text: &mut String) -> Part {
        let part = Part::add(text, &name.to_string());
        match name {
            SiteName::Exact(_) => self.names.add(text, part, index),
            SiteName::Wildcard(suffix) => self.wildcards.add(text, part.last(suffix.len()), index),
            SiteName::Any => self.any = Some(index),
        }
        part
    }

    /// Takes up a site whose name is the last of the text.
    fn enter<'c>(&mut self, index: u32, name: Part, site: &'c Site, text: &mut String, terms: &mut impl FnMut(&'c Route) -> u32) {
        let (mut exact, mut prefixes, mut regexes) = (PathsBuilder::default(), PathsBuilder::default(), Vec::new());
        let first = small(self.routes.len());
        for (route, spec) in (first..).zip(&site.routes) {
            let candidate = Candidate { route, conditions: Conditions::of(&spec.matches).map(Box::new) };
            // In patterns as people write them the path is a part.
            let pattern = Part::add(text, &spec.pattern);
            let mut path = |path: &str| pattern.find(text, path).unwrap_or_else(|| Part::add(text, path));
            match &spec.matches.path {
                PathMatch::Exact(text) => exact.add(text, path(text), candidate),
                PathMatch::Prefix(text) => prefixes.add(text, path(text), candidate),
                PathMatch::Regex { regex, priority } => regexes.push((Reverse(*priority), regex.clone(), candidate)),
            }
            self.routes.push(RouteEntry { pattern, terms: terms(spec) });
        }
        // Stable, and candidates come in file order: the last rule of precedence.
        regexes.sort_by(|(a_priority, _, a), (b_priority, _, b)| (a_priority, a.rank()).cmp(&(b_priority, b.rank())));
        let from = small(self.regexes.len());
        self.regexes.extend(regexes.into_iter().map(|(_, regex, candidate)| (regex, candidate)));
        self.sites.push(SiteTable {
            name,
            exact: exact.enter(index, text, &mut self.exact),
            prefixes: prefixes.enter(index, text, &mut self.prefixes),
            regexes: from..small(self.regexes.len()),
            entry: SiteEntry::new(site),
        });
    }

    fn within(&self, text: &str, site: u32, table: &SiteTable, head: &RequestHead) -> Option<u32> {
        let path: &str = &head.path;
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

/// Sizes of a configuration that is in memory as text.
pub(super) fn small(size: usize) -> u32 {
    u32::try_from(size).expect("a configuration has fewer than 4 GiB of paths")
}

#[cfg(test)]
pub(super) mod tests;
