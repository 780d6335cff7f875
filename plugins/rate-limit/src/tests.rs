use super::*;
use portcullis_sdk::test::{Harness, Outcome, Outside, SentRequest, get, request, response};

fn outside() -> Outside {
    Outside::new().store("(local)").metrics().log()
}

fn from(ip: &str) -> SentRequest {
    get("https://a.example/x").attribute("client.ip", ip)
}

fn refused(outcome: &Outcome<SentRequest>) -> bool {
    outcome.reply().is_some()
}

#[test]
fn a_burst_passes_and_then_one_each_interval() {
    let outside = outside().install();
    let limit = Harness::<RateLimit>::new(r#"{"rate": "10/s", "burst": 3}"#);
    let ask = || refused(&limit.on_request(from("192.0.2.1")));
    assert_eq!([ask(), ask(), ask(), ask()], [false, false, false, true]);
    assert!(!refused(&limit.on_request(from("192.0.2.2"))), "another client");
    outside.advance(Duration::from_millis(99));
    assert!(ask());
    outside.advance(Duration::from_millis(1));
    assert_eq!([ask(), ask()], [false, true]);
    assert_eq!(outside.counted("refused", &[("limit", "default")]), 3);
}

#[test]
fn who_is_refused_is_told_when_to_come_back() {
    let _outside = outside().install();
    let limit = Harness::<RateLimit>::new(r#"{"rate": "2/m", "name": "login", "status": 503, "body": "later"}"#);
    let ask = || limit.on_request(from("192.0.2.1"));
    assert!(!refused(&ask()) && !refused(&ask()));
    let outcome = ask();
    let reply = outcome.reply().expect("refused");
    assert_eq!((reply.status(), reply.body_bytes()), (503, &b"later"[..]));
    assert_eq!(reply.header_str("retry-after"), Some("30"));
    assert_eq!(reply.header_str("ratelimit-policy"), Some(r#""login";q=2;w=60"#));
    assert_eq!(reply.header_str("ratelimit"), Some(r#""login";r=0;t=60"#));
    let silent = Harness::<RateLimit>::new(r#"{"rate": "1/h", "fields": "never"}"#);
    silent.on_request(from("192.0.2.1"));
    let outcome = silent.on_request(from("192.0.2.1"));
    let reply = outcome.reply().expect("refused");
    assert_eq!((reply.status(), reply.header_str("retry-after"), reply.header_str("ratelimit")), (429, Some("3600"), None));
}

#[test]
fn others_are_told_how_much_is_left_if_that_is_wanted() {
    let _outside = outside().install();
    let limit = Harness::<RateLimit>::new(r#"{"rate": "100/s", "burst": 50, "fields": "always"}"#);
    let after = limit.on_request(from("192.0.2.1"));
    let told = after.attribute("rate-limit.default").expect("set");
    assert_eq!(told, r#""default";r=49;t=1"#);
    let after = limit.on_response(response(200).attribute("rate-limit.default", told));
    assert_eq!((after.header("ratelimit"), after.header("ratelimit-policy")), (Some(told), Some(r#""default";q=100;w=1"#)));
    assert_eq!(limit.on_response(response(200)).header("ratelimit"), None);
}

/// Whether two requests are counted together by this key.
fn together(key: &str, one: SentRequest, other: SentRequest) -> bool {
    let _outside = outside().install();
    let limit = Harness::<RateLimit>::new(&format!(r#"{{"rate": "1/h", "key": {key}}}"#));
    assert!(!refused(&limit.on_request(one)));
    refused(&limit.on_request(other))
}

#[test]
fn what_is_counted_together() {
    let long = "v".repeat(2_000);
    let path = |path: &str| get(&format!("https://a.example{path}"));
    let header = |value: &str| get("/").header("x-key", value);
    let site = |site: &str| get("/").attribute("site", site).attribute("route", "/*");
    assert!(together(r#""client.ip""#, from("2001:db8::1"), from("2001:db8::ffff:2")), "one network of 64 bits");
    assert!(!together(r#""client.ip""#, from("2001:db8::1"), from("2001:db8:0:1::1")));
    assert!(together(r#""client.ip""#, from("192.0.2.1"), from("::ffff:192.0.2.1")));
    assert!(together(r#""path""#, path("/a?b"), path("/a?c")) && !together(r#""path""#, path("/a"), path("/b")));
    assert!(!together(r#""query:k""#, path("/?k=1"), path("/?k=2")) && together(r#""query:k""#, path("/?k=1"), path("/?x&k=1")));
    assert!(together(r#""header:X-Key""#, header(&long), header(&long)) && !together(r#""header:X-Key""#, header(&long), header("v")));
    assert!(together(r#""header:x-key""#, get("/"), get("/")), "without it");
    assert!(!together(r#""cookie:sid""#, get("/").header("cookie", "sid=1"), get("/").header("cookie", "a=2; sid=2")));
    assert!(!together(r#"["site", "route"]"#, site("a"), site("b")) && together(r#"["site", "route"]"#, site("a"), site("a")));
    assert!(together(r#""all""#, from("192.0.2.1"), from("192.0.2.2")));
    assert!(!together(r#""method""#, get("/"), request("PUT", "/")));
    assert!(!together(
        r#"["attribute:a", "attribute:b"]"#,
        get("/").attribute("a", "x,").attribute("b", "y"),
        get("/").attribute("a", "x").attribute("b", ",y")
    ));
    assert!(!together(r#""attribute:a""#, get("/").attribute("a", ""), get("/").attribute("a", "#e3b0c44298fc1c149afbf4c8996fb924")));
}

#[test]
fn equal_limits_are_one_and_others_are_apart() {
    let _outside = outside().install();
    let spent = |settings: &str| refused(&Harness::<RateLimit>::new(settings).on_request(from("192.0.2.1")));
    assert!(!spent(r#"{"rate": "1/h"}"#) && spent(r#"{"rate": "1/h"}"#));
    assert!(spent(r#"{"burst": 1, "key": ["client.ip"], "rate": "1/h"}"#));
    for apart in [
        r#"{"rate": "2/h"}"#,
        r#"{"rate": "1/h", "burst": 2}"#,
        r#"{"rate": "1/h", "name": "b"}"#,
        r#"{"rate": "1/h", "key": ["client.ip", "all"]}"#,
    ] {
        assert!(!spent(apart), "{apart}");
    }
}

#[test]
fn a_store_that_is_away_is_told_of_once_and_nobody_is_refused_for_it() {
    let outside = outside().store("shared").install();
    let limit = Harness::<RateLimit>::new(r#"{"rate": "2/h", "store": "shared"}"#);
    let ask = || refused(&limit.on_request(from("192.0.2.1")));
    assert!(!ask());
    outside.break_store("shared", kv::Error::Unavailable("no answer".to_owned()));
    assert_eq!([ask(), ask(), ask()], [false, false, true], "this process counts from the beginning");
    assert_eq!(outside.logged(), [(log::Level::Warn, "kv `shared` does not count (no answer): this proxy counts by itself".to_owned())]);
    assert_eq!(outside.counted("fallback", &[("limit", "default"), ("store", "shared")]), 3);
    outside.mend_store("shared");
    assert!(ask(), "it is left alone for a moment");
    outside.advance(AWAY);
    assert_eq!([ask(), ask()], [false, true], "what it had counted");
    outside.break_store("shared", kv::Error::Full);
    ask();
    assert_eq!(outside.logged().len(), 1, "told a minute later at the earliest");
    outside.advance(MENTIONED);
    ask();
    assert_eq!(outside.logged().len(), 2);
}

#[test]
fn where_nobody_can_count_nobody_is_refused() {
    let outside = outside().install();
    let limit = Harness::<RateLimit>::new(r#"{"rate": "1/h"}"#);
    outside.break_store("(local)", kv::Error::Full);
    for _ in 0..3 {
        assert!(!refused(&limit.on_request(from("192.0.2.1"))));
    }
    assert_eq!(outside.counted("uncounted", &[("limit", "default")]), 3);
}

#[test]
fn mistakes_are_told_at_their_places() {
    let places = |settings: &str| Harness::<RateLimit>::refused(settings).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(places(r#"{"rate": "fast", "key": ["client.ip", "client"], "name": "a b"}"#), ["/rate", "/name", "/key/1"]);
    assert_eq!(places(r#"{"rate": "1/s", "key": "header:"}"#), ["/key"]);
    assert_eq!(places(r#"{"rate": "1/s", "key": []}"#), ["/key"]);
    assert_eq!(places(r#"{"rate": "1/d", "burst": 400}"#), ["/burst"]);
}
