//! `http-client`: what a plugin asks of upstreams, and that waiting for it costs nobody else.

use super::{Able, run, told};
use portcullis_tests::origin::read_head;
use portcullis_tests::{Origin, Raw, get, get_with};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn begin(proxy: &portcullis_tests::Proxy, steps: &str) -> Raw {
    let mut client = Raw::connect(proxy.http());
    client.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Do: {steps}\r\n\r\n"));
    client
}

/// Waits until the origin has seen this many requests.
fn seen(origin: &Origin, count: usize) {
    super::until("requests arrive", || (origin.requests().len() >= count).then_some(()));
}

#[test]
fn answers_come_whole_and_errors_are_told_apart() {
    let (app, idp) = (Origin::echo(), Origin::named("idp"));
    let able = Able { idp: idp.name(), plugin: "limits = { time = \"20s\", cpu = \"1s\" }", ..Able::of(&app) };
    let proxy = able.start();
    assert_eq!(run(&proxy, "send idp /name?a=b"), ["200 idp 3 [idp]"]);
    assert!(run(&proxy, "send idp /status/503")[0].starts_with("503 idp "));
    assert_eq!(run(&proxy, "send idp /status/204"), ["204 idp 0 []"]);
    assert_eq!(run(&proxy, "send idp /bytes/1048576")[0].split(" [").next(), Some("200 idp 1048576"));
    assert_eq!(run(&proxy, "send idp /chunked/50000")[0].split(" [").next(), Some("200 idp 50000"));
    assert_eq!(run(&proxy, "send idp /bytes/1048577; send idp /chunked/3000000"), ["TooLarge", "TooLarge"]);
    assert_eq!(run(&proxy, "send idp /slow/5000 100"), ["Timeout"]);
    assert_eq!(run(&proxy, "send other /name; send nobody /name"), ["Denied", "Denied"]);
    for (wrong, part) in [("send idp name", "path"), ("send-bad-header idp", "value")] {
        let said = run(&proxy, wrong).pop().unwrap();
        assert!(said.starts_with("Invalid(") && said.contains(part), "{wrong}: {said}");
    }
    run(&proxy, "post idp /in hello");
    let posted = idp.requests().pop().unwrap().to_lowercase();
    assert!(posted.starts_with("post /in http/1.1\r\n") && posted.contains("x-from: able"), "{posted}");
    assert!(posted.contains("host: idp.test") && posted.contains("content-length: 5"), "{posted}");
    let asked = idp.requests().into_iter().find(|head| head.starts_with("GET /name?a=b ")).unwrap().to_lowercase();
    for ours in ["x-forwarded", "forwarded", "x-do"] {
        assert!(!asked.contains(ours), "what the guest did not write is not the client's either: {asked}");
    }
}

#[test]
fn several_at_once_take_as_long_as_the_slowest() {
    let (app, idp) = (Origin::echo(), Origin::named("idp"));
    let proxy = Able { idp: idp.name(), plugin: "limits = { time = \"20s\" }", ..Able::of(&app) }.start();
    let begun = Instant::now();
    let said = run(&proxy, "send-all idp /slow/3000 /name /slow/2999 /slow/2998 /status/404 /slow/2997 /slow/2996");
    assert!(begun.elapsed() < Duration::from_secs(12), "one after the other it would be 15 s: {:?}", begun.elapsed());
    let statuses: Vec<&str> = said[0].split(", ").map(|answer| answer.split(' ').next().unwrap()).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "404", "200", "200"]);
    assert!(said[0].contains("[GET /slow/2999 HTTP/1.1]"), "in the order given: {said:?}");
    let many = |count: usize| format!("send-all idp{}", " /name".repeat(count));
    assert_eq!(run(&proxy, &many(16))[0].matches("200 idp").count(), 16);
    assert_eq!(told(&proxy, &many(17)).reason(), Some("plugin_trap"));
    assert_eq!(run(&proxy, "send-all idp"), [""; 0]);
}

#[test]
fn an_upstream_that_is_gone_is_an_error_and_no_fault() {
    let app = Origin::echo();
    let proxy = Able::of(&app).start();
    let said = run(&proxy, "send idp /x").pop().unwrap();
    assert!(said.starts_with("Failed("), "{said}");
    let garbage = Origin::says("this is not HTTP\r\n\r\n");
    let proxy = Able { idp: garbage.name(), ..Able::of(&app) }.start();
    let said = run(&proxy, "send idp /x").pop().unwrap();
    assert!(said.starts_with("Failed("), "{said}");
}

/// An origin that answers `/wait` when the gate is open, and everything else at once.
fn gated(open: Arc<AtomicBool>) -> Origin {
    Origin::serve(move |stream, seen| {
        while let Some((head, _)) = read_head(stream) {
            let waits = head.starts_with("GET /wait ");
            seen.lock().unwrap().push(head);
            while waits && !open.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-origin: idp\r\ncontent-length: 3\r\n\r\nidp").unwrap();
        }
    })
}

#[test]
fn guests_that_wait_hold_up_nobody_else() {
    let (app, open) = (Origin::echo(), Arc::new(AtomicBool::new(false)));
    let idp = gated(Arc::clone(&open));
    let proxy = Able { idp: idp.name(), plugin: "limits = { time = \"60s\" }", ..Able::of(&app) }.start();
    let mut waiting: Vec<Raw> = (0..50).map(|_| begin(&proxy, "send idp /wait")).collect();
    seen(&idp, 50);
    // One worker: whoever is answered now is answered while they wait.
    for n in 1..=30 {
        assert_eq!(get(proxy.http(), "a.test", "/plain/x").status, 200);
        assert_eq!(run(&proxy, "add near n 1"), [n.to_string()], "the same link");
        assert_eq!(run(&proxy, "send idp /name"), ["200 idp 3 [idp]"]);
    }
    for client in &waiting {
        client.stream.set_nonblocking(true).unwrap();
        assert!(client.stream.peek(&mut [0]).is_err(), "they still wait");
        client.stream.set_nonblocking(false).unwrap();
    }
    open.store(true, Ordering::Relaxed);
    for client in &mut waiting {
        assert_eq!(client.response().text(), "200 idp 3 [idp]");
    }
}

#[test]
fn a_call_has_its_time_and_no_more() {
    let (app, idp) = (Origin::echo(), Origin::named("idp"));
    let able = Able { idp: idp.name(), plugin: "limits = { time = \"300ms\" }", ..Able::of(&app) };
    let proxy = able.start();
    let begun = Instant::now();
    let response = told(&proxy, "send idp /slow/10000");
    assert_eq!((response.status, response.reason()), (500, Some("plugin_timeout")));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    proxy.access_line(|line| line.contains("plugin_timeout") && line.contains("able:fault"));
    // Each alone would have been in time.
    assert_eq!(told(&proxy, "send idp /slow/200; send idp /slow/200; send idp /slow/200").reason(), Some("plugin_timeout"));
    assert_eq!(get(proxy.http(), "a.test", "/plain/x").status, 200);
    let open = Able { plugin: "limits = { time = \"300ms\" }\nfail = { timeout = \"open\" }", ..able }.start();
    assert_eq!(told(&open, "send idp /slow/10000").status, 200, "as the operator decided");
}

/// An origin that never answers, and says when the proxy hangs up.
fn patient() -> Origin {
    Origin::serve(|stream, seen| {
        let Some((head, _)) = read_head(stream) else { return };
        seen.lock().unwrap().push(head);
        let ended = matches!(stream.read(&mut [0; 64]), Ok(0)) || stream.read(&mut [0]).is_err();
        seen.lock().unwrap().push(format!("hung up: {ended}"));
    })
}

#[test]
fn a_client_that_leaves_takes_the_guest_s_request_with_it() {
    let (app, idp) = (Origin::echo(), patient());
    let proxy = Able { idp: idp.name(), plugin: "limits = { time = \"60s\" }", ..Able::of(&app) }.start();
    let client = begin(&proxy, "send idp /x");
    seen(&idp, 1);
    drop(client);
    seen(&idp, 2);
    assert_eq!(idp.requests()[1], "hung up: true");
    proxy.access_line(|line| line.contains("client_gone"));
    assert_eq!(run(&proxy, "add near n 1"), ["1"]);
}

#[test]
fn a_request_of_the_guest_s_that_took_too_long_is_cut_off() {
    let (app, idp) = (Origin::echo(), patient());
    let proxy = Able { idp: idp.name(), plugin: "limits = { time = \"60s\" }", ..Able::of(&app) }.start();
    assert_eq!(run(&proxy, "send idp /x 200"), ["Timeout"]);
    seen(&idp, 2);
    assert_eq!(idp.requests()[1], "hung up: true");
}

/// What the proxy hands to a guest is the guest's to free.
#[test]
fn answers_do_not_pile_up_in_the_guest() {
    let (app, idp) = (Origin::echo(), Origin::named("idp"));
    let plugin = "limits = { memory = \"8MiB\", time = \"20s\", cpu = \"1s\" }";
    let proxy = Able { idp: idp.name(), plugin, ..Able::of(&app) }.start();
    let value = "v".repeat(6_000);
    run(&proxy, &format!("set near long {value}"));
    for _ in 0..20 {
        assert_eq!(run(&proxy, "send idp /bytes/1000000")[0].split(" [").next(), Some("200 idp 1000000"));
        assert!(run(&proxy, &["get near long"; 100].join(";")).iter().all(|found| *found == value));
    }
}

/// The guest asks while the response waits, and the client gets both.
#[test]
fn the_response_phase_may_wait_too() {
    let (app, idp) = (Origin::echo(), Origin::named("idp"));
    let able = Able { idp: idp.name(), told: "on-response = \"send idp /name; add near n 1\"", ..Able::of(&app) };
    for isolate in ["worker", "request"] {
        let plugin = format!("isolate = \"{isolate}\"\nlimits = {{ time = \"20s\" }}");
        let proxy = Able { plugin: &plugin, idp: idp.name(), tables: able.tables, ..Able::of(&app) };
        let proxy = Able { told: able.told, ..proxy }.start();
        for n in 1..=20 {
            let response = get_with(proxy.http(), "a.test", "/x", "X-Do: send idp /name; pass\r\n");
            assert_eq!(response.header("x-able-response"), Some(&*format!("200 idp 3 [idp] | {n}")), "{isolate}");
            assert!(response.text().to_lowercase().contains("x-able: 200 idp 3 [idp] | passed"), "{}", response.text());
        }
    }
}
