use super::*;
use portcullis_sdk::test::{Harness, Outcome, SentRequest, get, request, response};

fn preflight(cors: &Harness<Cors>, origin: &str, method: &str, headers: Option<&str>) -> Outcome<SentRequest> {
    let sent = request("OPTIONS", "/").header("origin", origin).header("access-control-request-method", method);
    cors.on_request(match headers {
        Some(headers) => sent.header("access-control-request-headers", headers),
        None => sent,
    })
}

fn lets_in(origins: &str, origin: &str) -> bool {
    let cors = Harness::<Cors>::new(&format!(r#"{{"origins": {origins}}}"#));
    let after = cors.on_request(get("/").header("origin", origin));
    after.attribute("cors.origin") == Some(origin)
}

#[test]
fn who_is_let_in() {
    let exact = r#""https://App.Example.com:443""#;
    assert!(lets_in(exact, "https://app.example.com"));
    for other in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.test",
        "https://evilapp.example.com",
        "null",
    ] {
        assert!(!lets_in(exact, other), "{other}");
    }
    let below = r#"["https://*.example.com", "http://localhost:3000"]"#;
    assert!(
        lets_in(below, "https://a.example.com") && lets_in(below, "https://a.b.example.com") && lets_in(below, "http://localhost:3000")
    );
    for other in [
        "https://example.com",
        "https://.example.com",
        "https://evil.test/.example.com",
        "https://evil.test:1@x.example.com",
        "https://a.example.com:8443",
        "http://a.example.com",
    ] {
        assert!(!lets_in(below, other), "{other}");
    }
    assert!(lets_in(r#""*""#, "https://any.test") && lets_in(r#""null""#, "null"));
}

#[test]
fn a_preflight_is_answered_here() {
    let cors = Harness::<Cors>::new(
        r#"{"origins": "https://a.test", "methods": ["PUT", "GET"], "headers": ["X-Token", "content-type"], "credentials": true, "max-age": "1h"}"#,
    );
    let outcome = preflight(&cors, "https://a.test", "PUT", Some("x-token"));
    let reply = outcome.reply().expect("answered");
    for (name, value) in [
        ("access-control-allow-origin", "https://a.test"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT"),
        ("access-control-allow-headers", "X-Token, content-type"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "3600"),
        ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ] {
        assert_eq!(reply.header_str(name), Some(value), "{name}");
    }
    assert_eq!(reply.status(), 204);
    let refused = preflight(&cors, "https://b.test", "PUT", None);
    let reply = refused.reply().expect("refused");
    assert_eq!((reply.status(), reply.header_str("access-control-allow-origin"), reply.header_str("vary")), (403, None, Some("Origin")));
    let all = Harness::<Cors>::new(r#"{"origins": "*", "headers": "*"}"#);
    let outcome = preflight(&all, "https://b.test", "POST", Some("x-a, authorization"));
    let reply = outcome.reply().expect("answered");
    assert_eq!(
        (reply.header_str("access-control-allow-origin"), reply.header_str("access-control-allow-headers")),
        (Some("*"), Some("x-a, authorization"))
    );
    assert_eq!(reply.header_str("access-control-allow-credentials"), None);
}

#[test]
fn other_requests_go_on_and_their_responses_say_who_may_read_them() {
    let cors = Harness::<Cors>::new(r#"{"origins": "https://a.test", "expose": ["x-total"], "credentials": true}"#);
    assert!(cors.on_request(request("OPTIONS", "/").header("origin", "https://a.test")).reply().is_none(), "no preflight");
    assert!(cors.on_request(get("/")).edits().is_empty());
    let theirs = || response(200).header("access-control-allow-origin", "*").header("vary", "Accept");
    let after = cors.on_response(theirs().attribute("cors.origin", "https://a.test"));
    assert_eq!(after.headers("access-control-allow-origin"), ["https://a.test"]);
    assert_eq!(
        (after.header("access-control-allow-credentials"), after.header("access-control-expose-headers")),
        (Some("true"), Some("x-total"))
    );
    assert_eq!(after.headers("vary"), ["Accept", "Origin"]);
    for other in [theirs(), theirs().attribute("cors.origin", "")] {
        let after = cors.on_response(other);
        assert_eq!((after.header("access-control-allow-origin"), after.headers("vary")), (None, vec!["Accept", "Origin"]));
    }
    let all = Harness::<Cors>::new(r#"{"origins": "*"}"#);
    let after = all.on_response(theirs().attribute("cors.origin", "https://a.test"));
    assert_eq!((after.header("access-control-allow-origin"), after.headers("vary")), (Some("*"), vec!["Accept"]));
}

#[test]
fn others_are_refused_if_that_is_wanted() {
    let cors = Harness::<Cors>::new(r#"{"origins": "https://a.test", "refuse": true}"#);
    assert_eq!(cors.on_request(get("/").header("origin", "https://b.test")).reply().map(Reply::status), Some(403));
    assert!(cors.on_request(get("/").header("origin", "https://a.test")).reply().is_none() && cors.on_request(get("/")).reply().is_none());
}

#[test]
fn mistakes_are_told_at_their_places() {
    let places = |settings: &str| Harness::<Cors>::refused(settings).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(
        places(
            r#"{"origins": ["a.test", "https://a.test/", "https://a.*.test", "https://"], "headers": ["a b"], "methods": "put", "max-age": "long"}"#
        ),
        ["/origins/0", "/origins/1", "/origins/2", "/origins/3", "/headers/0", "/methods", "/max-age"]
    );
    assert_eq!(places(r#"{"origins": "*", "credentials": true}"#), ["/credentials"]);
    assert_eq!(places(r#"{"origins": []}"#), ["/origins"]);
}
