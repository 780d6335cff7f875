//! Another server is tried where that is safe, as the route says.

use portcullis_tests::{Origin, Proxy, Raw, get, nobody};
use std::time::{Duration, Instant};

/// One route with this `retry`, to these servers in turn.
fn proxy(retry: &str, servers: &[String]) -> Proxy {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    Proxy::start(&format!(
        r#"
[server]
workers = 1
[site."a.test"]
tls = "off"
[site."a.test".routes]
"/*" = {{ to = "app"{retry} }}
[upstream.app]
servers = [{}]
balance = "round-robin"
"#,
        servers.join(", ")
    ))
}

fn status(status: &str) -> Origin {
    Origin::says(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

/// Reads a request and hangs up.
fn hangs_up() -> Origin {
    Origin::says("")
}

fn post(proxy: &Proxy) -> u16 {
    Raw::connect(proxy.http()).send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi").response().status
}

#[test]
fn chosen_statuses_are_tried_elsewhere() {
    let (bad, good) = (status("503 Service Unavailable"), Origin::named("good"));
    let servers = [bad.name(), good.name()];
    let on = proxy(", retry = { on = [\"503\"], tries = 2 }", &servers);
    let answer = get(on.http(), "a.test", "/");
    assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")));
    on.access_line(|line| line.contains("attempts=2"));
    // Turn by turn; the second request began with the good one.
    assert_eq!(get(proxy(", retry = { on = [\"502\"], tries = 2 }", &servers).http(), "a.test", "/").status, 503);
    assert_eq!(get(proxy("", &servers).http(), "a.test", "/").status, 503);
}

#[test]
fn what_was_sent_and_is_not_idempotent_is_never_sent_again() {
    let good = Origin::named("good");
    for bad in [status("503 Service Unavailable"), hangs_up()] {
        let proxy = proxy(", retry = { on = [\"connect\", \"reset\", \"503\"], tries = 3 }", &[bad.name(), good.name()]);
        assert!(matches!(post(&proxy), 502 | 503));
    }
    assert!(good.requests().is_empty());
    // What was not sent can be: nobody has seen it.
    let proxy = proxy("", &[nobody().to_string(), good.name()]);
    assert_eq!(post(&proxy), 200);
}

#[test]
fn a_server_that_hangs_up_is_not_the_last_word_by_default() {
    let (bad, good) = (hangs_up(), Origin::named("good"));
    let proxy = proxy("", &[bad.name(), good.name()]);
    for _ in 0..6 {
        assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    }
    let never = self::proxy(", retry = 1", &[bad.name(), good.name()]);
    let answer = get(never.http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (502, Some("origin_reset")));
}

#[test]
fn tries_are_all_that_is_tried() {
    let down: Vec<String> = (0..4).map(|_| nobody().to_string()).collect();
    for (retry, tries) in [("", 2), (", retry = 3", 3), (", retry = { tries = 11 }", 4)] {
        let proxy = proxy(retry, &down);
        assert_eq!(get(proxy.http(), "a.test", "/").status, 502, "{retry}");
        proxy.access_line(|line| line.contains(&format!("attempts={tries} ")));
    }
    let proxy = proxy(", retry = 1", &down);
    assert_eq!(get(proxy.http(), "a.test", "/").status, 502);
    proxy.access_line(|line| line.contains("connect_refused") && !line.contains("attempts="));
}

#[test]
fn one_try_has_a_time_of_its_own() {
    let (silent, good) = (Origin::says_and_stays(""), Origin::named("good"));
    let begun = Instant::now();
    let proxy = proxy(", retry = { on = \"timeout\", per-try = \"100ms\" }", &[silent.name(), good.name()]);
    let answer = get(proxy.http(), "a.test", "/");
    assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")));
    assert!(begun.elapsed() < Duration::from_secs(30));
    proxy.access_line(|line| line.contains("attempts=2"));
    // Without asking for it, a timeout is an answer.
    let proxy = self::proxy(", retry = { per-try = \"100ms\" }", &[silent.name(), good.name()]);
    let answer = get(proxy.http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (504, Some("response_timeout")));
}
