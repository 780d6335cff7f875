//! Which route a request takes (Gateway API precedence), and what is said when there is none.

use portcullis_tests::{Origin, Proxy, get, get_with};

#[test]
fn the_most_specific_route_wins() {
    let origins: Vec<Origin> = ["root", "api", "deep", "exact", "beta", "post"].iter().map(|name| Origin::named(name)).collect();
    let upstreams: String = ["root", "api", "deep", "exact", "beta", "post"]
        .iter()
        .zip(&origins)
        .map(|(name, origin)| format!("[upstream.{name}]\nservers = [\"{}\"]\n", origin.name()))
        .collect();
    let proxy = Proxy::start(&format!(
        r#"
[site."a.test"]
tls = "off"
[site."a.test".routes]
"/*" = "root"
"/api/*" = "api"
"/api/deep/*" = "deep"
"=/api/deep/exact" = "exact"
"/header/*" = {{ to = "beta", match = {{ header = {{ x-beta = "1" }} }} }}
"/query/*" = {{ to = "beta", match = {{ query = {{ beta = "1" }} }} }}
"/method/*" = {{ to = "post", match = {{ method = ["POST"] }} }}
"~^/v[0-9]+/" = {{ to = "beta", priority = 1 }}
{upstreams}"#
    ));
    let went = |path: &str, fields: &str| get_with(proxy.http(), "a.test", path, fields).header("x-origin").unwrap_or("none").to_owned();
    assert_eq!(went("/", ""), "root");
    assert_eq!(went("/apis", ""), "root", "a prefix ends at an element boundary");
    assert_eq!(went("/api", ""), "api");
    assert_eq!(went("/api/x", ""), "api");
    assert_eq!(went("/api/deep/x", ""), "deep");
    assert_eq!(went("/api/deep/exact", ""), "exact");
    assert_eq!(went("/api/deep/exact/", ""), "deep");
    assert_eq!(went("/api/./x/../deep/%65xact", ""), "exact", "routes are matched on the normal form");
    assert_eq!(went("/header/", "X-Beta: 1\r\n"), "beta");
    assert_eq!(went("/header/", "X-Beta: 2\r\n"), "root");
    assert_eq!(went("/query/?a=b&beta=1", ""), "beta");
    assert_eq!(went("/method/", ""), "root");
    assert_eq!(went("/v12/x", ""), "beta");
}

#[test]
fn sites_are_told_apart_by_name() {
    let origins: Vec<Origin> = ["a", "wild", "any"].iter().map(|name| Origin::named(name)).collect();
    let proxy = Proxy::start(&format!(
        r#"
[site."a.example.test"]
tls = "off"
routes = {{ "/*" = "a" }}
[site."*.example.test"]
tls = "off"
routes = {{ "/*" = "wild" }}
[upstream.a]
servers = ["{}"]
[upstream.wild]
servers = ["{}"]
"#,
        origins[0].name(),
        origins[1].name()
    ));
    let went = |host: &str| get(proxy.http(), host, "/").header("x-origin").unwrap_or("none").to_owned();
    assert_eq!(went("a.example.test"), "a");
    assert_eq!(went("A.Example.Test:80"), "a", "case and port do not matter");
    assert_eq!(went("b.example.test"), "wild");
    assert_eq!(went("c.b.example.test"), "wild");
    let response = get(proxy.http(), "example.test", "/");
    assert_eq!((response.status, response.reason()), (404, Some("no_site")));
}

#[test]
fn no_route_is_404_with_its_reason() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/only/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let response = get(proxy.http(), "a.test", "/other");
    assert_eq!((response.status, response.reason()), (404, Some("no_route")));
    assert!(response.header("proxy-status").unwrap().starts_with("portcullis;"), "{response:?}");
}

#[test]
fn both_balances_reach_every_server() {
    for balance in ["round-robin", "p2c"] {
        let (a, b) = (Origin::named("a"), Origin::named("b"));
        let proxy = Proxy::start(&format!(
            "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\", \"{}\"]\nbalance = \"{balance}\"\n",
            a.name(),
            b.name()
        ));
        // Slow on purpose: p2c takes those for alike that are at most twice as slow, which a busy machine can make of an answer that takes no time.
        for _ in 0..40 {
            assert_eq!(get(proxy.http(), "a.test", "/slow/50").status, 200);
        }
        assert!(a.requests().len() > 5 && b.requests().len() > 5, "{balance}: {} and {}", a.requests().len(), b.requests().len());
    }
}
