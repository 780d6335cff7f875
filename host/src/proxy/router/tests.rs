//! Each rule of precedence, and the router against its slow twin.

use super::*;
use crate::config::{Location, RouteTimeouts, TlsSpec};
use crate::message::Scheme;
use crate::proxy::explain::explain;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

pub(in crate::proxy) fn nowhere() -> Location {
    Location { file: "test.toml".into(), line: 1, column: 1 }
}

/// A route from its pattern, as config.md writes them.
pub(in crate::proxy) fn route(pattern: &str) -> Route {
    let path = if let Some(exact) = pattern.strip_prefix('=') {
        PathMatch::Exact(exact.into())
    } else if let Some(regex) = pattern.strip_prefix('~') {
        PathMatch::Regex { regex: regex::Regex::new(regex).expect("a regex"), priority: 0 }
    } else {
        PathMatch::Prefix(pattern.strip_suffix("/*").expect("a prefix").into())
    };
    Route {
        pattern: pattern.into(),
        matches: RouteMatch { path, methods: vec![], headers: vec![], query: vec![] },
        to: None,
        chain: vec![],
        timeouts: RouteTimeouts::default(),
        retry: Default::default(),
        mirror: None,
        injected: None,
        at: nowhere(),
    }
}

fn priority(pattern: &str, wanted: i32) -> Route {
    let mut route = route(pattern);
    if let PathMatch::Regex { priority, .. } = &mut route.matches.path {
        *priority = wanted;
    }
    route
}

fn field(name: &str, value: Option<&str>) -> FieldMatch {
    FieldMatch { name: name.into(), value: value.map(Into::into) }
}

pub(in crate::proxy) fn site(name: &str, routes: Vec<Route>) -> Site {
    let name = match name.strip_prefix("*.") {
        Some(suffix) => SiteName::Wildcard(suffix.into()),
        None if name == "*" => SiteName::Any,
        None => SiteName::Exact(name.into()),
    };
    Site { name, aliases: Vec::new(), tls: TlsSpec::Off, client: None, routes, at: nowhere() }
}

pub(in crate::proxy) fn head(method: &str, target: &str) -> RequestHead {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.into())));
    RequestHead {
        method: method.parse().expect("a method"),
        scheme: Scheme::Http,
        authority: "a.test".into(),
        path: path.into(),
        query,
        headers: HeaderMap::new(),
    }
}

fn made_of(sites: &[Site]) -> Router {
    Router::new(sites, |_| 0)
}

/// The pattern of the route that a site with these routes chooses.
fn chosen(routes: &[Route], head: &RequestHead) -> Option<String> {
    let router = made_of(&[site("a.test", routes.to_vec())]);
    router.find("a.test", head).ok().map(|found| routes[found.route].pattern.clone())
}

#[test]
fn exact_wins_over_regex_over_prefix() {
    let routes = [route("/a/*"), route("~^/a"), route("=/a/b")];
    for (path, expected) in [("/a/b", Some("=/a/b")), ("/a/c", Some("~^/a")), ("/b", None)] {
        assert_eq!(chosen(&routes, &head("GET", path)).as_deref(), expected, "{path}");
    }
}

#[test]
fn longest_prefix_wins_and_ends_at_an_element() {
    let routes = [route("/*"), route("/a/*"), route("/a/b/*"), route("/a/b/c/d/*")];
    let cases = [
        ("/", "/*"),
        ("/x", "/*"),
        ("/a", "/a/*"),
        ("/a/", "/a/*"),
        ("/ab", "/*"),
        ("/a/b", "/a/b/*"),
        ("/a/b/c", "/a/b/*"),
        ("/a/b/c/d/e/f", "/a/b/c/d/*"),
        ("/a/bc", "/a/*"),
        ("//a", "/*"),
    ];
    for (path, expected) in cases {
        assert_eq!(chosen(&routes, &head("GET", path)).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn higher_priority_of_regexes_wins_then_file_order() {
    let routes = [priority("~^/a", 1), priority("~^/.b", 2), priority("~b", 1)];
    for (path, expected) in [("/ab", "~^/.b"), ("/aab", "~^/a"), ("/xyb", "~b")] {
        assert_eq!(chosen(&routes, &head("GET", path)).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn among_equal_paths_method_then_headers_then_query_then_file_order_win() {
    let named = |name: &str, edit: fn(&mut RouteMatch)| {
        let mut route = route("/a/*");
        route.pattern = name.into();
        edit(&mut route.matches);
        route
    };
    let routes = [
        named("plain", |_| {}),
        named("plain again", |_| {}),
        named("one query", |m| m.query = vec![field("q", None)]),
        named("two queries", |m| m.query = vec![field("q", None), field("r", Some("1"))]),
        named("one header", |m| m.headers = vec![field("x-a", Some("1"))]),
        named("two headers", |m| m.headers = vec![field("x-a", Some("1")), field("x-b", None)]),
        named("method", |m| m.methods = vec![http::Method::POST]),
    ];
    let with = |method: &str, target: &str, fields: &[&'static str]| {
        let mut head = head(method, target);
        for name in fields {
            head.headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        chosen(&routes, &head)
    };
    assert_eq!(with("POST", "/a?q&r=1", &["x-a", "x-b"]).as_deref(), Some("method"));
    assert_eq!(with("GET", "/a?q&r=1", &["x-a", "x-b"]).as_deref(), Some("two headers"));
    assert_eq!(with("GET", "/a?q&r=1", &["x-a"]).as_deref(), Some("one header"));
    assert_eq!(with("GET", "/a?q&r=1", &[]).as_deref(), Some("two queries"));
    assert_eq!(with("GET", "/a?q&r=2", &["x-b"]).as_deref(), Some("one query"));
    assert_eq!(with("GET", "/a", &[]).as_deref(), Some("plain"));
}

#[test]
fn less_specific_route_is_taken_if_conditions_of_the_others_fail() {
    let mut post_only = route("=/a/b");
    post_only.matches.methods = vec![http::Method::POST];
    let routes = [post_only.clone(), route("/a/*")];
    assert_eq!(chosen(&routes, &head("GET", "/a/b")).as_deref(), Some("/a/*"));
    let router = made_of(&[site("a.test", vec![post_only])]);
    assert_eq!(router.find("a.test", &head("GET", "/a/b")), Err(Missed::Route { site: 0 }));
}

#[test]
fn site_is_exact_then_longest_wildcard_then_any() {
    let sites = ["*", "*.test", "*.b.test", "a.b.test", "[::1]"].map(|name| site(name, vec![route("/*")]));
    let router = made_of(&sites);
    let cases = [("a.b.test", 3), ("x.b.test", 2), ("x.a.b.test", 2), ("b.test", 1), ("test", 0), ("example.com", 0), ("[::1]", 4)];
    for (host, expected) in cases {
        assert_eq!(router.find(host, &head("GET", "/")), Ok(Found { site: expected, route: expected }), "{host}");
    }
    let router = made_of(&sites[1..]);
    assert_eq!(router.find("test", &head("GET", "/")), Err(Missed::Site));
}

#[test]
fn a_site_goes_by_its_own_name_whatever_it_is_asked_by() {
    let mut sites = ["a.test", "b.test"].map(|name| site(name, vec![route("/*")]));
    sites[1].aliases = ["*.b.test", "c.a.test", "*"].map(|name| SiteName::read(name).expect("a name")).to_vec();
    let router = made_of(&sites);
    for host in ["b.test", "x.b.test", "c.a.test", "example.com"] {
        let found = router.site(host).expect("found");
        assert_eq!((found.site, &*router.name(found)), (1, "b.test"), "{host}");
    }
    assert_eq!(&*router.name(router.site("a.test").expect("found")), "a.test");
}

#[test]
fn very_long_path_is_looked_up_no_further_than_the_longest_route() {
    let long = format!("/a{}", "/".repeat(100_000));
    assert_eq!(chosen(&[route("/*"), route("/a/*"), route("=/b")], &head("GET", &long)).as_deref(), Some("/a/*"));
}

#[test]
fn asterisk_of_options_matches_nothing_but_itself_and_regexes() {
    assert_eq!(chosen(&[route("/*")], &head("OPTIONS", "*")), None);
    assert_eq!(chosen(&[route("=*")], &head("OPTIONS", "*")).as_deref(), Some("=*"));
}

/// Routes over a small alphabet, so that they collide.
fn any_route() -> impl Strategy<Value = Route> {
    let path = prop_oneof![
        "(/[ab]{0,2}){0,3}".prop_map(PathMatch::Prefix),
        "(/[ab]{0,2}){1,3}".prop_map(PathMatch::Exact),
        ("[ab]{1,2}", -1..2).prop_map(|(text, priority)| PathMatch::Regex { regex: regex::Regex::new(&text).expect("a regex"), priority }),
    ];
    let fields = |names: &'static str| {
        proptest::collection::vec((names, proptest::option::of("[12]")), 0..3)
            .prop_map(|all| all.into_iter().map(|(name, value)| FieldMatch { name, value }).collect::<Vec<_>>())
    };
    let methods = prop_oneof![3 => Just(vec![]), 1 => Just(vec![http::Method::POST])];
    (path, methods, fields("[xy]"), fields("[qr]")).prop_map(|(path, methods, headers, query)| {
        let mut route = route("/*");
        route.matches = RouteMatch { path, methods, headers, query };
        route
    })
}

proptest! {
    #[test]
    fn router_agrees_with_the_rules_as_written(
        routes in proptest::collection::vec(proptest::collection::vec(any_route(), 0..8), 3),
        whose in proptest::collection::vec(0_usize..3, 6),
        host in "(a\\.)?(b\\.)?test",
        path in "(/[ab]{0,2}){1,4}",
        query in proptest::option::of("[qr]=[12]&[qr]=[12]"),
        post in any::<bool>(),
        x in proptest::option::of(Just("1")),
    ) {
        let names = ["b.test", "*.test", "*", "a.test", "a.b.test", "*.b.test"];
        let mut sites: Vec<_> = (0..).zip(routes).map(|(number, routes)| site(&format!("own-{number}"), routes)).collect();
        for (name, owner) in names.into_iter().zip(whose) {
            sites[owner].aliases.push(SiteName::read(name).expect("a name"));
        }
        let mut head = head(if post { "POST" } else { "GET" }, &path);
        head.query = query.map(Into::into);
        if let Some(x) = x {
            head.headers.insert("x", HeaderValue::from_static(x));
        }
        let slow = explain(&sites, &host, &head);
        let offset: usize = sites[..slow.site.expect("`*` is there")].iter().map(|site| site.routes.len()).sum();
        let expected = match (slow.site, slow.chosen()) {
            (None, _) => Err(Missed::Site),
            (Some(site), None) => Err(Missed::Route { site }),
            (Some(site), Some(route)) => Ok(Found { site, route: offset + route }),
        };
        prop_assert_eq!(made_of(&sites).find(&host, &head), expected);
    }
}
