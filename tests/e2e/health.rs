//! Servers that are down get no requests: found by looking at them, or by what requests met.

use crate::config_reload::{HEAD, HTTP, turn_to, until};
use portcullis_tests::{Origin, Proxy, get, nobody, origin};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn proxy(workers: usize, upstream: &str) -> Proxy {
    Proxy::start(&format!(
        "[server]\nworkers = {workers}\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ to = \"app\", retry = 1 }} }}\n\
         [upstream.app]\nbalance = \"round-robin\"\n{upstream}\n"
    ))
}

/// Says who it is, and on /healthz whether it is well; how often it was asked that is among its requests.
fn patient(name: &'static str) -> (Origin, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&well);
    let origin = Origin::serve(move |stream, seen| {
        while let Some((head, _)) = origin::read_head(stream) {
            let asked = head.starts_with("GET /healthz ");
            seen.lock().unwrap().push(head);
            let status = if asked && !shared.load(Ordering::Relaxed) { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nX-Origin: {name}\r\nContent-Length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (origin, well)
}

fn went(proxy: &Proxy) -> Vec<String> {
    (0..6).map(|_| get(proxy.http(), "a.test", "/").header("x-origin").unwrap_or("nobody").to_owned()).collect()
}

#[test]
fn who_is_down_gets_nothing_until_it_is_up_again() {
    let ((a, a_well), (b, _)) = (patient("a"), patient("b"));
    let health = "health = { get = \"/healthz\", every = \"100ms\", timeout = \"5s\", down = 2, up = 2 }";
    let proxy = proxy(2, &format!("servers = [\"{}\", \"{}\"]\n{health}", a.name(), b.name()));
    let all = went(&proxy);
    assert!(all.contains(&"a".to_owned()) && all.contains(&"b".to_owned()), "{all:?}");

    a_well.store(false, Ordering::Relaxed);
    proxy.logged(&format!("server {} is down: it answered 503", a.name()));
    assert_eq!(went(&proxy), ["b"; 6]);
    let head = a.requests().into_iter().find(|head| head.starts_with("GET /healthz")).unwrap().to_lowercase();
    assert!(head.contains(&format!("host: {}", a.name())) && head.contains("user-agent: portcullis-health"), "{head}");

    a_well.store(true, Ordering::Relaxed);
    proxy.logged(&format!("server {} is up again", a.name()));
    assert!(went(&proxy).contains(&"a".to_owned()));
}

#[test]
fn a_connection_can_be_enough_and_when_most_are_down_all_are_tried() {
    let (one, other) = (Origin::named("one"), Origin::named("other"));
    let gone = nobody();
    let proxy =
        proxy(1, &format!("servers = [\"{gone}\", \"{}\", \"{}\"]\nhealth = {{ every = \"100ms\", down = 1 }}", one.name(), other.name()));
    proxy.logged(&format!("server {gone} is down"));
    assert!(!went(&proxy).contains(&"nobody".to_owned()));

    let (gone, lost) = (nobody(), nobody());
    let proxy =
        self::proxy(1, &format!("servers = [\"{gone}\", \"{lost}\", \"{}\"]\nhealth = {{ every = \"100ms\", down = 1 }}", one.name()));
    proxy.logged(&format!("server {gone} is down"));
    proxy.logged(&format!("server {lost} is down"));
    let all = went(&proxy);
    assert!(all.contains(&"one".to_owned()) && all.contains(&"nobody".to_owned()), "{all:?}");
}

#[test]
fn who_fails_again_and_again_is_set_aside() {
    let (bad, good) = (Origin::says(""), Origin::named("good"));
    let proxy = proxy(1, &format!("servers = [\"{}\", \"{}\"]", bad.name(), good.name()));
    let statuses: Vec<u16> = (0..30).map(|_| get(proxy.http(), "a.test", "/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 5, "{statuses:?}");
    proxy.logged(&format!("upstream app: server {} fails again and again, and gets nothing for 10s", bad.name()));
}

/// A configuration to be taken over later, with one worker.
fn config(limits: &str, upstream: &str) -> String {
    let head = HEAD.replace("workers = 2", "workers = 1");
    format!(
        "{head}{HTTP}{limits}\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ to = \"app\", retry = 1 }} }}\n\
         [upstream.app]\nbalance = \"round-robin\"\n{upstream}\n"
    )
}

fn looks(origin: &Origin, target: &str) -> usize {
    let line = format!("GET {target} ");
    origin.requests().iter().filter(|head| head.starts_with(&line)).count()
}

#[test]
fn a_reload_keeps_what_looks_have_found_and_looks_otherwise_where_that_is_asked_for() {
    let ((a, a_well), (b, _), (c, _)) = (patient("a"), patient("b"), patient("c"));
    let servers = |all: &[&Origin]| all.iter().map(|origin| format!("\"{}\"", origin.name())).collect::<Vec<_>>().join(", ");
    let health = |target: &str| format!("health = {{ get = \"{target}\", every = \"1h\", timeout = \"30s\", down = 1 }}");
    a_well.store(false, Ordering::Relaxed);
    let proxy = Proxy::start(&config("", &format!("servers = [{}]\n{}", servers(&[&a, &b]), health("/healthz"))));
    proxy.logged(&format!("server {} is down: it answered 503", a.name()));
    a_well.store(true, Ordering::Relaxed);

    // Something else changes; then its neighbours do.
    assert_eq!(
        turn_to(&proxy, &config("[limits]\nheader-count = 99\n", &format!("servers = [{}]\n{}", servers(&[&a, &b]), health("/healthz")))),
        ["[limits]: changed"]
    );
    assert_eq!(went(&proxy), ["b"; 6]);
    assert_eq!(turn_to(&proxy, &config("", &format!("servers = [{}]\n{}", servers(&[&c, &a]), health("/healthz")))).len(), 2);
    assert_eq!(went(&proxy), ["c"; 6]);
    assert_eq!(looks(&a, "/healthz"), 1, "it is looked at when its time comes, and no sooner");

    // Another look is another opinion.
    assert_eq!(
        turn_to(&proxy, &config("", &format!("servers = [{}]\n{}", servers(&[&c, &a]), health("/other")))),
        ["upstream app: changed"]
    );
    assert!(went(&proxy).contains(&"a".to_owned()));
    until("it is looked at there", || (looks(&a, "/other") == 1).then_some(()));
    // So is none.
    turn_to(&proxy, &config("", &format!("servers = [{}]", servers(&[&c, &a]))));
    assert!(went(&proxy).contains(&"a".to_owned()));
}

#[test]
fn a_reload_keeps_who_is_set_aside_until_nobody_is_to_be() {
    let (bad, good, new) = (Origin::says(""), Origin::named("good"), Origin::named("new"));
    let upstream = |names: &[&Origin]| {
        let names: Vec<_> = names.iter().map(|origin| format!("\"{}\"", origin.name())).collect();
        format!("servers = [{}]", names.join(", "))
    };
    let limits = "[limits]\neject-time = \"5m\"\n";
    let proxy = Proxy::start(&config(limits, &upstream(&[&bad, &good])));
    let failed = |proxy: &Proxy| (0..20).filter(|_| get(proxy.http(), "a.test", "/").status == 502).count();
    assert_eq!(failed(&proxy), 5);
    proxy.logged(&format!("server {} fails again and again", bad.name()));
    turn_to(&proxy, &config(limits, &upstream(&[&new, &bad, &good])));
    assert_eq!(failed(&proxy), 0);
    turn_to(&proxy, &config("[limits]\neject-after = 0\n", &upstream(&[&new, &bad, &good])));
    assert!(failed(&proxy) > 0);
}
