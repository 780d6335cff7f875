//! Why a request goes where it goes: every route of its site in the order of precedence, with what speaks against it.
//!
//! The slow twin of `router.rs`, straight from the rules as written in [`crate::config::Route`], for the command `explain` and for the
//! test that holds the two together. Not on the path of a request.

use crate::config::{FieldMatch, PathMatch, Route, Site};
use crate::message::RequestHead;
use std::cmp::Reverse;

/// What was considered for a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Index into the sites. `None`: no site has this name.
    pub site: Option<usize>,
    /// The routes of the site in the order of precedence, each by its index within the site.
    pub routes: Vec<(usize, Finding)>,
}

/// How one route fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Chosen,
    /// All its conditions hold, but one before it was chosen.
    LessSpecific,
    OtherPath,
    OtherMethod,
    /// This field is missing or has another value.
    OtherHeader(String),
    /// This parameter is missing or has another value.
    OtherQuery(String),
}

impl Explanation {
    /// The index of the chosen route within its site.
    pub fn chosen(&self) -> Option<usize> {
        self.routes.iter().find(|(_, finding)| *finding == Finding::Chosen).map(|(route, _)| *route)
    }
}

/// Considers every route of the site that answers to `host` (in normal form, without port).
pub fn explain(sites: &[Site], host: &str, head: &RequestHead) -> Explanation {
    let Some((site, spec)) = best_site(sites, host) else {
        return Explanation { site: None, routes: Vec::new() };
    };
    let mut order: Vec<_> = spec.routes.iter().enumerate().collect();
    // Stable, so that file order is the last rule.
    order.sort_by_key(|(_, route)| precedence(route));
    let mut chosen = false;
    let routes = order.into_iter().map(|(index, route)| {
        let finding = match obstacle(route, head) {
            Some(obstacle) => obstacle,
            None if std::mem::replace(&mut chosen, true) => Finding::LessSpecific,
            None => Finding::Chosen,
        };
        (index, finding)
    });
    Explanation { site: Some(site), routes: routes.collect() }
}

fn best_site<'a>(sites: &'a [Site], host: &str) -> Option<(usize, &'a Site)> {
    let fitting = sites.iter().enumerate().filter_map(|site| Some((site.1.fit(host)?, site)));
    fitting.max_by_key(|(fit, _)| *fit).map(|(_, site)| site)
}

/// The smallest goes first: kind, priority, length; then a method match, most header matches, most query matches.
fn precedence(route: &Route) -> impl Ord + use<> {
    let (kind, priority, length) = match &route.matches.path {
        PathMatch::Exact(_) => (0, 0, 0),
        PathMatch::Regex { priority, .. } => (1, *priority, 0),
        PathMatch::Prefix(prefix) => (2, 0, prefix.len()),
    };
    let matches = &route.matches;
    (kind, Reverse((priority, length, !matches.methods.is_empty(), matches.headers.len(), matches.query.len())))
}

fn obstacle(route: &Route, head: &RequestHead) -> Option<Finding> {
    let matches = &route.matches;
    if !matches.path.matches(&head.path) {
        return Some(Finding::OtherPath);
    }
    if !matches.methods.is_empty() && !matches.methods.contains(&head.method) {
        return Some(Finding::OtherMethod);
    }
    let lacks_header = |want: &&FieldMatch| !FieldMatch::all_in_headers(std::slice::from_ref(*want), &head.headers);
    if let Some(lacking) = matches.headers.iter().find(lacks_header) {
        return Some(Finding::OtherHeader(lacking.name.clone()));
    }
    let lacks_query = |want: &&FieldMatch| !FieldMatch::all_in_query(std::slice::from_ref(*want), head.query.as_deref());
    matches.query.iter().find(lacks_query).map(|lacking| Finding::OtherQuery(lacking.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::router::tests::{head, route, site};

    #[test]
    fn each_route_says_what_speaks_against_it() {
        let mut by_method = route("/a/*");
        by_method.matches.methods = vec![http::Method::POST];
        let mut by_header = route("/a/*");
        by_header.matches.headers = vec![FieldMatch { name: "x-beta".into(), value: None }];
        let mut by_query = route("/a/*");
        by_query.matches.query = vec![FieldMatch { name: "v".into(), value: Some("2".into()) }];
        let sites = [site("a.test", vec![route("/*"), route("/a/*"), by_query, by_header, by_method, route("=/b")])];

        let explanation = explain(&sites, "a.test", &head("GET", "/a/x?v=1"));

        let expected = [
            (5, Finding::OtherPath),
            (4, Finding::OtherMethod),
            (3, Finding::OtherHeader("x-beta".into())),
            (2, Finding::OtherQuery("v".into())),
            (1, Finding::Chosen),
            (0, Finding::LessSpecific),
        ];
        assert_eq!(explanation, Explanation { site: Some(0), routes: expected.into() });
        assert_eq!(explanation.chosen(), Some(1));
    }

    #[test]
    fn unknown_host_has_no_site() {
        assert_eq!(explain(&[site("a.test", vec![])], "b.test", &head("GET", "/")), Explanation { site: None, routes: vec![] });
    }
}
