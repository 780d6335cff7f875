//! Another server is tried where that is safe, as the route says.

use portcullis_tests::{Origin, Proxy, Raw, get, nobody, proxy};
use std::time::{Duration, Instant};

/// One route with this `retry`, to these servers in turn.
fn proxy(retry: &str, servers: &[String]) -> Proxy {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let upstream = format!("[upstream.app]\nservers = [{}]\nbalance = \"round-robin\"", servers.join(", "));
    Proxy::start(&proxy::site(&format!("\"/*\" = {{ to = \"app\"{retry} }}"), &upstream))
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

#[test]
fn who_waits_for_long_asks_another_as_well() {
    let (silent, good) = (Origin::says_and_stays(""), Origin::named("good"));
    let proxy = proxy(", retry = { hedge = \"50ms\" }", &[silent.name(), good.name()]);
    for _ in 0..3 {
        let answer = get(proxy.http(), "a.test", "/");
        assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")));
    }
    let line = proxy.access_line(|line| line.contains("attempts=2"));
    assert!(line.contains(&format!("server={} ", good.name())), "{line}");
    let metrics = get(proxy.admin(), "localhost", "/metrics").text();
    let number = |name: &str| {
        let name = format!("{name}{{upstream=\"app\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&*name)).unwrap_or_default().parse::<u32>().unwrap()
    };
    assert!(number("portcullis_upstream_hedges_total") >= 1, "{metrics}");
    assert_eq!(number("portcullis_upstream_hedges_total"), number("portcullis_upstream_hedges_won_total"));
    assert_eq!(number("portcullis_upstream_active"), 0, "what lost is ended");
}

#[test]
fn the_first_answer_counts_whoever_was_asked_first() {
    let good = Origin::named("good");
    // The second server takes far longer than the first, which takes longer than the hedge.
    let slow = Origin::serve(|stream, _| {
        drop(portcullis_tests::origin::read_head(stream));
        std::thread::sleep(Duration::from_secs(20));
    });
    let proxy = proxy(", retry = { hedge = \"20ms\" }", &[good.name(), slow.name()]);
    let answer = get(proxy.http(), "a.test", "/slow/300");
    assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")));
    let metrics = get(proxy.admin(), "localhost", "/metrics").text();
    assert!(metrics.contains("portcullis_upstream_hedges_total{upstream=\"app\"} 1\n"), "{metrics}");
    assert!(metrics.contains("portcullis_upstream_hedges_won_total{upstream=\"app\"} 0\n"), "{metrics}");
}

#[test]
fn what_must_not_be_sent_twice_is_not_hedged() {
    let slow = || {
        Origin::serve(|stream, seen| {
            let Some((head, rest)) = portcullis_tests::origin::read_head(stream) else { return };
            let Some(body) = portcullis_tests::origin::read_body(stream, &head, rest) else { return };
            seen.lock().unwrap().push(String::from_utf8(body).unwrap());
            std::thread::sleep(Duration::from_millis(300));
            let _ = std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        })
    };
    let (one, other) = (slow(), slow());
    let proxy = proxy(", retry = { hedge = \"20ms\" }", &[one.name(), other.name()]);
    let bodies = || [one.requests(), other.requests()].concat();
    assert_eq!(post(&proxy), 200);
    assert_eq!(bodies(), ["hi"], "not idempotent");
    let large = "x".repeat(100_000);
    let put = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{large}", large.len());
    assert_eq!(Raw::connect(proxy.http()).send(put).response().status, 200);
    let chunked = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    assert_eq!(Raw::connect(proxy.http()).send(chunked).response().status, 200);
    assert_eq!(bodies().len(), 3, "too large to be kept");
    let mut client = Raw::connect(proxy.http());
    client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.send("2\r\nre\r\n0\r\n\r\n").response().status, 200);
    assert_eq!(bodies().len(), 4, "not whole when it was time");
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    assert_eq!(bodies().len(), 6, "a GET may");
}

#[test]
fn a_body_that_is_whole_goes_to_the_second_server_as_well() {
    let (silent, good) = (Origin::serve(|stream, _| drop(std::io::copy(stream, &mut std::io::sink()))), Origin::named("good"));
    let proxy = proxy(", retry = { hedge = \"100ms\" }", &[silent.name(), good.name()]);
    let hello = "hello ".repeat(5000);
    let length = hello.len();
    let stated = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{hello}");
    let chunked = format!("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{hello}\r\n0\r\n\r\n");
    for request in [&stated, &chunked, &stated, &chunked] {
        let answer = Raw::connect(proxy.http()).send(request).response();
        assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")));
        assert!(answer.text().trim_end().ends_with(hello.trim_end()), "{}", answer.text().len());
    }
    proxy.access_line(|line| line.contains("attempts=2") && line.contains(&format!(" in={length} ")));
}

#[test]
fn hedges_stay_within_the_budget() {
    let silent = [Origin::says_and_stays(""), Origin::says_and_stays("")];
    let proxy = proxy(", timeout = \"2s\", retry = { hedge = \"20ms\", budget = \"0%\" }", &[silent[0].name(), silent[1].name()]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(get(proxy.http(), "a.test", "/").status, 504));
        }
    });
    // Three at once are always allowed.
    assert_eq!(silent[0].requests().len() + silent[1].requests().len(), 8 + 3);
}

/// The access log says why the server that answered got the request, and why another did not.
#[test]
fn the_log_says_who_was_chosen_and_who_was_passed_over() {
    let (gone, good) = (nobody(), Origin::named("good"));
    let proxy = proxy("", &[gone.to_string(), good.name()]);
    for _ in 0..20 {
        assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    }
    let answered = format!("server={} chosen=round-robin", good.address);
    proxy.access_line(|line| line.contains(&format!("{answered} passed_over={gone}(failed)")) && line.contains("attempts=2"));
    proxy.access_line(|line| line.contains(&format!("{answered} passed_over={gone}(ejected)")) && !line.contains("attempts="));
    // Where there is no other, there is nothing to be said.
    let alone = self::proxy("", &[good.name()]);
    assert_eq!(get(alone.http(), "a.test", "/").status, 200);
    let line = alone.access_line(|line| line.contains("server="));
    assert!(!line.contains("chosen=") && !line.contains("passed_over="), "{line}");
}
