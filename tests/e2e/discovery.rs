//! Servers that are found by name: with a real DNS server whose records change, fail and come back.

use crate::config_reload::until;
use portcullis_tests::{Dns, Origin, Proxy, Server, get, nobody, while_asked};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// One site before this upstream, whose names are looked up at `dns`.
fn proxy(dns: SocketAddr, upstream: &str) -> Proxy {
    Proxy::start(&config(dns, upstream))
}

fn config(dns: SocketAddr, upstream: &str) -> String {
    format!(
        "[server]\nworkers = 2\nstate = \"state\"\nresolver = \"{dns}\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nbalance = \"round-robin\"\n{upstream}\n"
    )
}

/// Servers at these addresses of this machine, all on one port, each called by the last number of its address.
fn origins(hosts: &[u8]) -> (u16, Vec<Origin>) {
    'ports: for _ in 0..50 {
        let port = nobody().port();
        let mut origins = Vec::new();
        for host in hosts {
            let address = format!("127.0.0.{host}");
            // Somebody else may have it there.
            if std::net::TcpListener::bind((&*address, port)).is_err() {
                continue 'ports;
            }
            origins.push(Origin::named_at(&address, port, &host.to_string()));
        }
        return (port, origins);
    }
    panic!("no port is free at all of {hosts:?}");
}

/// How often each server answers when this is asked for so often; by status where none did.
fn went(proxy: &Proxy, times: usize) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for _ in 0..times {
        let response = get(proxy.http(), "a.test", "/");
        let who = response.header("x-origin").map_or_else(|| format!("{} {:?}", response.status, response.reason()), str::to_owned);
        *all.entry(who).or_default() += 1;
    }
    all
}

fn names(proxy: &Proxy) -> BTreeSet<String> {
    went(proxy, 12).into_keys().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The upstream's entry in the API.
fn shown(proxy: &Proxy) -> Value {
    let answer = get(proxy.admin(), "localhost", "/api/upstreams");
    let all: Value = serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
    all[0].clone()
}

#[test]
fn a_set_grows_and_shrinks_under_load_and_not_one_request_fails() {
    let (port, mut servers) = origins(&[2, 3, 4]);
    let dns = Dns::start("app 1 A 127.0.0.2\napp 1 A 127.0.0.3");
    let proxy = proxy(dns.address, &format!("servers = [\"app.test:{port}\"]"));
    assert_eq!(names(&proxy), set(&["2", "3"]));
    while_asked(
        &proxy,
        8,
        "/name",
        |response| response.status == 200,
        |some_more| {
            some_more();
            dns.set("app 1 A 127.0.0.2\napp 1 A 127.0.0.3\napp 1 A 127.0.0.4");
            proxy.logged(&format!("upstream app: servers that came: 127.0.0.4:{port}; that went: none; there are 3"));
            some_more();
            assert!(!servers[2].requests().is_empty(), "the one that came gets its part");
            dns.set("app 1 A 127.0.0.3\napp 1 A 127.0.0.4");
            proxy.logged(&format!("upstream app: servers that came: none; that went: 127.0.0.2:{port}; there are 2"));
            some_more();
            // Once it gets nothing any more, it may go.
            let asked = || servers[0].requests().len();
            until("it is out of use", || {
                let before = asked();
                some_more();
                (asked() == before).then_some(())
            });
            servers.remove(0).kill();
            some_more();
        },
    );
    assert_eq!(names(&proxy), set(&["3", "4"]));
    assert_eq!(shown(&proxy)["servers"], serde_json::json!([format!("127.0.0.3:{port}"), format!("127.0.0.4:{port}")]));
}

#[test]
fn names_are_looked_up_again_when_their_time_is_over() {
    let (port, _servers) = origins(&[2]);
    let dns = Dns::start("short 0 A 127.0.0.2\nlong 86400 A 127.0.0.2\nsome 100 A 127.0.0.2");
    let proxy = proxy(dns.address, &format!("servers = [\"long.test:{port}\", \"short.test:{port}\", \"some.test:{port}\"]"));
    let looked_up = |name: &str| {
        let all = shown(&proxy);
        let names = all["names"].as_array().unwrap().clone();
        names.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} in {all}"))
    };
    until("the short one is looked up again and again", || (looked_up("short.test")["lookups"].as_u64()? >= 3).then_some(()));
    let (long, some) = (looked_up("long.test"), looked_up("some.test"));
    assert_eq!((&long["lookups"], &some["lookups"]), (&1.into(), &1.into()));
    assert!((280..=300).contains(&long["next_seconds"].as_u64().unwrap()), "{long}");
    assert!((80..=100).contains(&some["next_seconds"].as_u64().unwrap()), "{some}");
    assert_eq!(long["found"], serde_json::json!([{ "ip": "127.0.0.2" }]));
    assert_eq!(shown(&proxy)["servers"], serde_json::json!([format!("127.0.0.2:{port}")]), "what is found twice is one server");
    crate::admin::until(proxy.admin(), "it is counted", |scrape| {
        scrape.value("portcullis_dns_lookups_total", &[("name", "short.test")]) >= Some(3.0)
            && scrape.value("portcullis_dns_lookups_failed_total", &[("name", "short.test")]) == Some(0.0)
            && scrape.value("portcullis_dns_answer_age_seconds", &[("name", "long.test")]).is_some()
            && scrape.value("portcullis_upstream_servers", &[("upstream", "app")]) == Some(1.0)
    });
}

#[test]
fn srv_records_say_ports_weights_and_priorities() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let records = |rest: &str| format!("one 1 A 127.0.0.1\nnext 1 CNAME one\n{rest}");
    let srv = |priority: u16, weight: u16, origin: &Origin, host: &str| {
        format!("_api._tcp 1 SRV {priority} {weight} {} {host}\n", origin.address.port())
    };
    let all = [srv(10, 30, &a, "one"), srv(10, 10, &b, "one"), srv(20, 0, &c, "one")].concat();
    let dns = Dns::start(&records(&all));
    let gone_port = c.address.port();
    let proxy = proxy(dns.address, "servers = [\"srv+http://_api._tcp.test\"]");
    let shares = went(&proxy, 80);
    // Each worker counts for itself, so that it is not one in four to the last request.
    let of = |name: &str| shares.get(name).copied().unwrap_or_default();
    assert!(of("a") + of("b") == 80 && (57..=63).contains(&of("a")), "by weight, and none to the second priority: {shares:?}");
    // The first ones go, from DNS or of themselves.
    dns.set(&records(&[srv(10, 30, &a, "one"), srv(20, 0, &c, "one")].concat()));
    proxy.logged("that went: 127.0.0.1:");
    until("b gets nothing", || (names(&proxy) == set(&["a"])).then_some(()));
    a.kill();
    until("the next priority takes over", || (names(&proxy) == set(&["c"])).then_some(()));
    let found = shown(&proxy)["names"][0]["found"].clone();
    assert_eq!(found[0]["host"], "one.test");
    assert!(found.as_array().unwrap().iter().any(|one| one["port"] == gone_port && one["priority"] == 20), "{found}");
}

#[test]
fn a_look_up_that_fails_takes_no_server_away() {
    let (port, _servers) = origins(&[2, 3]);
    let records = "app 1 A 127.0.0.2\napp 1 A 127.0.0.3";
    let dns = Dns::start(records);
    let proxy = proxy(dns.address, &format!("servers = [\"app.test:{port}\"]"));
    let both = set(&["2", "3"]);
    let failed = || shown(&proxy)["names"][0]["failed"].as_u64().unwrap();
    let fails_more = |what: &str| {
        let before = failed();
        until(what, || (failed() > before).then_some(()));
        assert_eq!(names(&proxy), both, "{what}");
    };
    assert_eq!(names(&proxy), both);
    dns.fail();
    fails_more("SERVFAIL");
    proxy.logged("app.test cannot be looked up");
    proxy.logged("the servers that are known stay");
    dns.run_with("other 1 A 127.0.0.9");
    fails_more("there is no such name any more");
    dns.stop();
    fails_more("nobody answers");
    assert!(shown(&proxy)["names"][0]["error"].is_string());
    dns.run_with("app 1 A 127.0.0.3");
    proxy.logged("app.test is found again");
    until("the set follows again", || (names(&proxy) == set(&["3"])).then_some(()));
}

#[test]
fn without_dns_the_proxy_starts_says_what_is_wrong_and_goes_on_trying() {
    let (port, _servers) = origins(&[2]);
    let dns = Dns::nowhere();
    let upstream = format!("servers = [\"app.test:{port}\"]\nlimits = {{ running = 10 }}");
    let proxy = proxy(dns.address, &upstream);
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!((response.status, response.reason()), (502, Some("no_servers")));
    assert!(response.header("proxy-status").unwrap().contains("error=dns_error"));
    proxy.logged("app.test cannot be looked up");
    dns.run_with("app 1 A 127.0.0.2");
    until("it is found", || (names(&proxy) == set(&["2"])).then_some(()));
}

#[test]
fn a_reload_keeps_what_was_found_and_finds_what_is_new_before_it_is_served() {
    let (port, _servers) = origins(&[2, 3]);
    let dns = Dns::start("app 100 A 127.0.0.2\nmore 100 A 127.0.0.3");
    let config = |servers: &str| config(dns.address, &format!("servers = [{servers}]")).replace("[server]\n", "[server]\nwatch = false\n");
    let proxy = Proxy::start(&config(&format!("\"app.test:{port}\"")));
    assert_eq!(names(&proxy), set(&["2"]));
    crate::config_reload::turn_to(&proxy, &config(&format!("\"more.test:{port}\", \"app.test:{port}\"")));
    assert_eq!(names(&proxy), set(&["2", "3"]), "from its first request on");
    let all = shown(&proxy)["names"].clone();
    assert_eq!((&all[0]["lookups"], &all[1]["lookups"]), (&1.into(), &1.into()), "what was known is not asked for again");
    // Nobody answers any more, and what was known goes over.
    dns.stop();
    crate::config_reload::turn_to(&proxy, &config(&format!("\"app.test:{port}\"")));
    assert_eq!(names(&proxy), set(&["2"]));
}

#[test]
fn servers_that_are_found_are_looked_at_under_the_name_that_is_written() {
    let (port, servers) = origins(&[2, 3]);
    let dns = Dns::start("app 1 A 127.0.0.2");
    let proxy =
        proxy(dns.address, &format!("servers = [\"app.test:{port}\"]\nhealth = {{ get = \"/status/200\", every = \"100ms\", down = 1 }}"));
    let looks =
        |server: usize| servers[server].requests().into_iter().filter(|head| head.starts_with("GET /status/200")).collect::<Vec<_>>();
    until("the first is looked at", || (looks(0).len() > 1).then_some(()));
    assert!(looks(0)[0].to_lowercase().contains(&format!("host: app.test:{port}")), "{:?}", looks(0));
    dns.set("app 1 A 127.0.0.3");
    until("the other is looked at", || (looks(1).len() > 1).then_some(()));
    let before = looks(0).len();
    let now = looks(1).len();
    until("the other is looked at more often", || (looks(1).len() > now + 3).then_some(()));
    assert!(looks(0).len() <= before + 1, "nobody looks at one that is gone");
    crate::admin::until(proxy.admin(), "the one that there is is up", |scrape| {
        scrape.value("portcullis_upstream_server_up", &[("server", &format!("127.0.0.3:{port}"))]) == Some(1.0)
            && scrape.value("portcullis_upstream_server_up", &[("server", &format!("127.0.0.2:{port}"))]).is_none()
    });
}

#[test]
fn certificates_have_the_name_that_is_written_and_not_one_that_dns_chose() {
    let dir = crate::tls::certificates(&["app.test", "one.test"]);
    let of = |name: &str| Server::s_server(&dir.path().join(format!("{name}.pem")), &dir.path().join(format!("{name}.key")));
    let (app, one) = (of("app.test"), of("one.test"));
    let srv = |server: &Server| format!("_api._tcp.app 1 SRV 0 0 {} one", server.address.port());
    let records = |srv: &str| format!("app 1 A 127.0.0.1\none 1 A 127.0.0.1\n{srv}");
    let dns = Dns::start(&records(&srv(&app)));
    let ca = |name: &str| format!("tls = {{ ca = \"{}\" }}", dir.path().join(format!("{name}.pem")).display());
    let asked = |servers: &str, ca: &str| {
        let response = get(proxy(dns.address, &format!("servers = [\"{servers}\"]\n{ca}")).http(), "a.test", "/");
        (response.status, response.reason().map(str::to_owned))
    };
    assert_eq!(asked(&format!("https://app.test:{}", app.address.port()), &ca("app.test")), (200, None));
    assert_eq!(asked("srv+https://_api._tcp.app.test", &ca("app.test")), (200, None));
    // Who answers there is who DNS says, and not who was meant.
    dns.set(&records(&srv(&one)));
    assert_eq!(asked("srv+https://_api._tcp.app.test", &ca("one.test")), (502, Some("origin_certificate".to_owned())));
}

/// A server of ours at `::1` and an address of the other family on the same port: one that takes no connections and refuses none, and its queue.
fn half_silent() -> (u16, Origin, (TcpListener, Vec<TcpStream>)) {
    for _ in 0..50 {
        let port = nobody().port();
        let (Ok(silent), true) = (TcpListener::bind(("127.0.0.7", port)), TcpListener::bind(("::1", port)).is_ok()) else { continue };
        let connect = || TcpStream::connect_timeout(&silent.local_addr().unwrap(), Duration::from_millis(200)).ok();
        let waiting = std::iter::from_fn(connect).collect();
        return (port, Origin::named_at("::1", port, "six"), (silent, waiting));
    }
    panic!("no port is free at both addresses");
}

#[test]
fn a_host_with_an_address_of_each_family_is_one_server_that_is_reached_at_either() {
    let (port, _six, _silent) = half_silent();
    let dns = Dns::start(
        "app 1 A 127.0.0.7\napp 1 AAAA ::1\ngone 1 A 127.0.0.8\ngone 1 AAAA ::1\nmany 1 A 127.0.0.8\nmany 1 A 127.0.0.9\nmany 1 AAAA ::1",
    );
    // Silent, and refused: without a second attempt, and checks find nothing wrong with it.
    for name in ["app", "gone"] {
        let health = "health = { get = \"/name\", every = \"200ms\", timeout = \"20s\", down = 1, up = 1 }";
        let proxy = proxy(dns.address, &format!("servers = [\"{name}.test:{port}\"]\n{health}"));
        assert_eq!(went(&proxy, 4), BTreeMap::from([("six".to_owned(), 4)]), "{}", proxy.log());
        let line = proxy.access_line(|line| line.contains(" 200 "));
        assert!(!line.contains("attempts=") && line.contains("server=127.0.0."), "{line}");
        let names = shown(&proxy)["names"][0]["found"].to_string();
        assert!(names.contains("\"also\":\"::1\""), "{names}");
        assert!(!proxy.log().contains("is down"), "{}", proxy.log());
    }
    // Of more, nobody knows which belong together.
    let proxy = proxy(dns.address, &format!("servers = [\"many.test:{port}\"]"));
    assert_eq!(shown(&proxy)["servers"].as_array().map(Vec::len), Some(2));
    assert_eq!(went(&proxy, 1), BTreeMap::from([("502 Some(\"connect_refused\")".to_owned(), 1)]));
}
