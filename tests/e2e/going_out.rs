//! Links on the way to upstreams: they choose servers, judge attempts, hear how exchanges end, and tick.

use crate::config_reload::{HEAD, HTTP, turn_to};
use portcullis_tests::{Origin, Proxy, Raw, get, get_with, nobody, tools};
use std::time::{Duration, Instant};

/// One site whose chain is the guest `journey`, told to do this, before an upstream of these servers.
fn journey(what: &str, servers: &str) -> Proxy {
    Proxy::start(&config(what, "", servers))
}

fn config(what: &str, plugin: &str, servers: &str) -> String {
    format!(
        r#"
[server]
workers = 1
[plugin.journey]
source = {:?}
{plugin}
[site."a.test"]
tls = "off"
chain = [{{ use = "journey", config = {{ do = "{what}" }} }}]
routes = {{ "/*" = "app" }}
[upstream.app]
servers = [{servers}]
balance = "round-robin"
"#,
        tools::guest("journey")
    )
}

fn by(origin: &Origin, more: &str) -> String {
    format!("{{ address = \"{}\", {more} }}", origin.name())
}

/// Answers this and says who it is.
fn status(status: &str) -> Origin {
    Origin::says(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}

/// How often the log has this, once it has it at all.
fn times(proxy: &Proxy, text: &str) -> usize {
    proxy.logged(text);
    proxy.log().matches(text).count()
}

#[test]
fn a_link_chooses_by_tags_and_the_access_line_says_who_chose() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let proxy = journey("tag", &format!("{}, {}", by(&a, "tags = \"a\""), by(&b, "tags = [\"b\"], weight = 3")));
    for _ in 0..4 {
        assert_eq!(get_with(proxy.http(), "a.test", "/", "X-Zone: b\r\n").header("x-origin"), Some("b"));
    }
    let line = proxy.access_line(|line| line.contains("journey:chose"));
    assert!(line.contains(&format!("server={}", b.name())) && !line.contains("attempts="), "{line}");
    // Nobody has this tag: the upstream's own way, by weight.
    let went: Vec<_> =
        (0..4).map(|_| get_with(proxy.http(), "a.test", "/", "X-Zone: c\r\n").header("x-origin").unwrap_or_default().to_owned()).collect();
    assert_eq!(went.iter().filter(|who| *who == "a").count(), 1, "{went:?}");
    proxy.access_line(|line| line.contains("zone=elsewhere"));
}

#[test]
fn a_link_asks_for_another_attempt_where_that_is_safe() {
    let (bad, good) = (status("503 Service Unavailable"), Origin::named("good"));
    let servers = format!("\"{}\", \"{}\"", good.name(), bad.name());
    // It chooses the last one first.
    for what in ["again", "again-on"] {
        let proxy = journey(what, &servers);
        let answer = get(proxy.http(), "a.test", "/");
        assert_eq!((answer.status, answer.header("x-origin")), (200, Some("good")), "{what}");
        let line = proxy.access_line(|line| line.contains(" 200 "));
        assert!(line.contains("attempts=2") && line.contains("journey:judged") && line.contains("attempt=status"), "{line}");

        let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(Raw::connect(proxy.http()).send(post).response().status, 503, "{what}: a POST that was sent is never sent again");
        proxy.logged("status Some(503) sent=true left=0 []");
    }
}

#[test]
fn a_link_forbids_what_would_be_tried_again() {
    let good = Origin::named("good");
    let servers = format!("\"{}\", \"{}\"", good.name(), nobody());
    let answer = get(journey("stop", &servers).http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (502, Some("connect_refused")));
    assert!(good.requests().is_empty());
    // Without such a link, or with one that leaves it alone, another server is tried.
    let proxy = journey("next", &format!("\"{}\", \"{}\"", nobody(), good.name()));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    proxy.logged("attempt true 1 connect_refused None sent=false left=1 [1:true:1::0:false]");
}

#[test]
fn the_end_is_told_once_whatever_way_it_comes() {
    let origin = Origin::echo();
    let server = format!("\"{}\"", origin.name());

    let proxy = journey("next", &server);
    let post = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(Raw::connect(proxy.http()).send(post).response().status, 200);
    proxy.access_line(|line| line.contains(" 200 "));
    assert_eq!(times(&proxy, "done next true app@server attempts=1 200 - timed=true received=2"), 1);

    let proxy = journey("reply", &server);
    assert_eq!(get(proxy.http(), "a.test", "/").status, 418);
    assert_eq!(times(&proxy, "done reply true @- attempts=0 418 - timed=true received=0 sent=5"), 1);

    let proxy = journey("abort", &server);
    assert!(Raw::connect(proxy.http()).send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").closed());
    assert_eq!(times(&proxy, "done abort true @- attempts=0 - plugin_abort"), 1);

    let proxy = journey("next", &format!("\"{}\"", nobody()));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 502);
    assert_eq!(times(&proxy, "done next true app@server attempts=1 502 connect_refused"), 1);
}

#[test]
fn the_end_is_told_when_the_client_is_gone_and_when_the_proxy_stops() {
    let silent = Origin::serve(|stream, heard| {
        if let Some((head, _)) = portcullis_tests::origin::read_head(stream) {
            heard.lock().unwrap().push(head);
        }
        let _ = std::io::Read::read(stream, &mut [0; 64]);
    });
    let proxy = journey("next", &format!("\"{}\"", silent.name()));
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait_for(|| silent.requests().len() == 1);
    drop(client);
    assert_eq!(times(&proxy, "done next true app@server attempts=1 - client_gone"), 1);

    let mut config = config("next", "", &format!("\"{}\"", silent.name()));
    config.push_str("[limits]\nstop = \"100ms\"\n");
    let mut proxy = Proxy::start(&config);
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait_for(|| silent.requests().len() == 2);
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(20)), Some(0));
    assert_eq!(times(&proxy, "done next true app@server attempts=1 - stopped"), 1);
}

#[test]
fn a_fault_costs_its_own_exchange_and_the_client_learns_nothing() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let servers = format!("\"{}\", \"{}\"", a.name(), b.name());
    for (what, reason) in [("trap-balance", "plugin_trap"), ("loop-balance", "plugin_timeout"), ("choose-nobody", "plugin_bad_output")] {
        let proxy = journey(what, &servers);
        let answer = get(proxy.http(), "a.test", "/");
        assert_eq!((answer.status, answer.reason()), (500, Some(reason)), "{what}");
        assert!(!answer.text().contains("hunter2"));
        proxy.logged(&format!("link journey broke its contract ({reason})"));
    }
    assert!(a.requests().is_empty() && b.requests().is_empty());
    let proxy = Proxy::start(&config("trap-balance", "fail = \"open\"", &servers));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    for what in ["trap-done", "loop-done"] {
        let proxy = journey(what, &servers);
        assert_eq!((get(proxy.http(), "a.test", "/").status, get(proxy.http(), "a.test", "/").status), (200, 200));
        proxy.logged("link journey broke its contract");
    }
    let (bad, worse) = (status("503 Service Unavailable"), status("503 Service Unavailable"));
    let proxy = journey("trap-attempt", &format!("\"{}\", \"{}\"", bad.name(), worse.name()));
    let answer = get(proxy.http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (500, Some("plugin_trap")));
}

#[test]
fn ticks_come_by_themselves_on_each_worker_and_back_off_after_faults() {
    let origin = Origin::echo();
    let server = format!("\"{}\"", origin.name());
    let config = |what: &str| config(what, "", &server).replace("workers = 1", "workers = 2");
    let proxy = Proxy::start(&config("tick"));
    for text in ["tick 0 of 0/2", "tick 2 of 0/2", "tick 0 of 1/2", "tick 2 of 1/2"] {
        proxy.logged(text);
    }
    let proxy = Proxy::start(&config("trap-tick"));
    for next in ["the next in 200ms", "the next in 400ms", "the next in 800ms"] {
        proxy.logged("secret: hunter2");
        proxy.logged(next);
    }
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
}

#[test]
fn ticks_go_on_over_reloads_as_long_as_the_link_does() {
    let origin = Origin::echo();
    let server = format!("\"{}\"", origin.name());
    let config = |what: &str, more: &str| config(what, "", &server).replace("[server]\nworkers = 1\n", &format!("{HEAD}{HTTP}{more}"));
    let proxy = Proxy::start(&config("tick", ""));
    // Reloads that come more often than ticks do not keep them from coming.
    let ticked = |number: usize| proxy.log().contains(&format!("tick {number} of 0/2"));
    let mut reloads = 0;
    wait_for(|| {
        reloads += 1;
        turn_to(&proxy, &config("tick", &format!("[limits]\nheader-count = {}\n", 50 + reloads % 2)));
        reloads > 1 && ticked(3)
    });
    turn_to(&proxy, &config("next", ""));
    let said = proxy.log().matches("tick ").count();
    std::thread::sleep(Duration::from_millis(300));
    assert!(proxy.log().matches("tick ").count() <= said + 2, "one on each worker may have been on its way");
}

#[test]
fn a_plan_that_makes_no_sense_refuses_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("portcullis.toml"), config("fast-tick", "", "\"127.0.0.1:1\"")).unwrap();
    let output = portcullis_tests::proxy::run(dir.path(), &["check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("a tick every 99 ms; it is 100 ms to a day"), "{said}");
}

fn wait_for(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
