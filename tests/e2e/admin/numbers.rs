//! What the numbers say after known traffic.

use super::{scrape, until};
use portcullis_tests::{Origin, Proxy, Raw, get, get_with, nobody, tools};

fn start(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        r#"
[admin]
listen = "127.0.0.1:0"
[plugin.able]
source = "{}"
allow = {{ log = true, clock = true, random = true, metrics = true, tracing = true, secret = ["S"], kv = ["near"], http = ["app"] }}
[plugin.behave]
source = "{}"
[kv]
near = "memory"
[secret]
S = "not so secret"
[site."*"]
tls = "off"
[site."*".routes]
"/*" = "app"
"/none/*" = "nobody"
"/count/*" = {{ to = "app", chain = ["able"] }}
"/trap/*" = {{ to = "app", chain = [{{ use = "behave", config = {{ do = "trap-request" }} }}] }}
[upstream.app]
servers = ["{}"]
[upstream.nobody]
servers = ["{}"]
"#,
        tools::guest("able").display(),
        tools::guest("behave").display(),
        origin.name(),
        nobody()
    ))
}

#[test]
fn exchanges_upstreams_plugins_and_the_process_are_counted() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let body = format!("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{}", "12345");
    assert_eq!(Raw::connect(proxy.http()).send(body).response().status, 200);
    for _ in 0..2 {
        assert_eq!(get(proxy.http(), "a.test", "/b").status, 200);
    }
    assert_eq!(get(proxy.http(), "a.test", "/none/x").status, 502);
    assert_eq!(get(proxy.http(), "a.test", "/trap/x").status, 500);
    assert_eq!(get_with(proxy.http(), "a.test", "/count/x", "X-Do: count asked hit 3; gauge held 7; observe took 2\r\n").status, 200);
    Raw::connect(proxy.http()).send("nonsense\r\n\r\n").response();
    let found = until(proxy.admin(), "all are over", |found| {
        found.value("portcullis_exchanges_active", &[]) == Some(0.0) && found.value("portcullis_requests_total", &[]) == Some(7.0)
    });
    let route = [("site", "*"), ("route", "/*")];
    for (name, labels, expected) in [
        ("portcullis_requests_total", &[("site", "*"), ("route", "/*"), ("status", "2xx")][..], 3.0),
        ("portcullis_requests_total", &[("route", "/none/*"), ("status", "5xx")], 1.0),
        ("portcullis_requests_total", &[("site", ""), ("route", ""), ("status", "4xx")], 1.0),
        ("portcullis_request_duration_seconds_count", &route, 3.0),
        ("portcullis_request_duration_seconds_bucket", &[("route", "/*"), ("le", "+Inf")], 3.0),
        ("portcullis_request_body_bytes_total", &route, 5.0),
        ("portcullis_reasons_total", &[("of", "exchange"), ("reason", "connect_refused")], 1.0),
        ("portcullis_reasons_total", &[("reason", "plugin_trap")], 1.0),
        ("portcullis_reasons_total", &[("reason", "bad_request_line")], 1.0),
        ("portcullis_connections_accepted_total", &[], 7.0),
        ("portcullis_upstream_requests_total", &[("upstream", "app")], 3.0),
        ("portcullis_upstream_requests_total", &[("upstream", "nobody")], 1.0),
        ("portcullis_upstream_failures_total", &[("upstream", "nobody"), ("reason", "connect_refused")], 1.0),
        ("portcullis_upstream_answer_seconds_count", &[("upstream", "app")], 3.0),
        ("portcullis_upstream_active", &[("upstream", "app")], 0.0),
        ("portcullis_guest_calls_total", &[("plugin", "able")], 1.0),
        ("portcullis_guest_faults_total", &[("plugin", "behave"), ("cause", "trap")], 1.0),
        ("portcullis_guests", &[("plugin", "able")], 1.0),
        ("portcullis_guests", &[("plugin", "behave")], 0.0),
        ("portcullis_plugin_asked_total", &[("plugin", "able"), ("kind", "hit")], 3.0),
        ("portcullis_plugin_held", &[("plugin", "able")], 7.0),
        ("portcullis_plugin_took_count", &[("plugin", "able")], 1.0),
        ("portcullis_generations", &[], 1.0),
        ("portcullis_workers", &[], 2.0),
    ] {
        assert_eq!(found.value(name, labels), Some(expected), "{name} {labels:?}");
    }
    for (name, labels) in [
        ("portcullis_response_body_bytes_total", &route[..]),
        ("portcullis_guest_memory_bytes", &[("plugin", "able")]),
        ("portcullis_guest_cpu_seconds_total", &[("plugin", "behave")]),
        ("portcullis_upstream_connect_seconds_sum", &[("upstream", "app")]),
        ("process_resident_memory_bytes", &[]),
        ("process_cpu_seconds_total", &[]),
        ("process_open_fds", &[]),
        ("process_max_fds", &[]),
        ("process_start_time_seconds", &[]),
    ] {
        assert!(found.value(name, labels).is_some_and(|value| value > 0.0), "{name} {:?}", found.value(name, labels));
    }
    // Every worker's connections that are kept are seen, and none that is not there.
    let pooled = found.value("portcullis_upstream_pool_idle", &[("upstream", "app")]);
    let connected = found.value("portcullis_upstream_connect_seconds_count", &[("upstream", "app")]);
    assert!(pooled <= connected && connected >= Some(1.0), "{pooled:?} of {connected:?}");
}

#[test]
fn both_formats_say_the_same() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    assert_eq!(get(proxy.http(), "a.test", "/b").status, 200);
    assert_eq!(get_with(proxy.http(), "a.test", "/count/x", "X-Do: count asked hit 3; observe took 2; observe took 0\r\n").status, 200);
    until(proxy.admin(), "all are over", |found| found.value("portcullis_requests_total", &[]) == Some(2.0));
    let (plain, open) = (scrape(proxy.admin(), "prometheus"), scrape(proxy.admin(), "openmetrics"));
    assert_eq!(plain.names(), open.names());
    for found in [plain, open] {
        assert_eq!(found.type_of("portcullis_requests"), Some("counter"));
        assert_eq!(found.type_of("portcullis_plugin_took"), Some("histogram"));
        assert_eq!(found.value("portcullis_requests_total", &[("status", "2xx")]), Some(2.0));
    }
}

#[test]
fn tls_handshakes_tunnels_and_http2_are_counted() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        r#"
[admin]
listen = "127.0.0.1:0"
[site.localhost]
tls = "local"
routes = {{ "/*" = "app" }}
[tcp."127.0.0.1:0"]
to = "app"
[upstream.app]
servers = ["{}"]
"#,
        origin.name()
    ));
    let url = format!("https://localhost:{}/x", proxy.https().port());
    let resolve = format!("localhost:{}:127.0.0.1", proxy.https().port());
    portcullis_tests::curl(&["--insecure", "--resolve", &resolve, &url]);
    assert_eq!(get(proxy.tcp(), "a.test", "/b").status, 200);
    Raw::connect(proxy.https()).send("no hello of any client").rest();
    let found = until(proxy.admin(), "all are over", |found| {
        found.value("portcullis_connections", &[]) == Some(0.0)
            && found.value("portcullis_tls_handshakes_total", &[("result", "failed")]) == Some(1.0)
            && found.value("portcullis_tunnel_bytes_total", &[]) > Some(0.0)
    });
    assert_eq!(found.value("portcullis_tls_handshakes_total", &[("version", "1.3"), ("result", "full")]), Some(1.0));
    assert_eq!(found.value("portcullis_requests_total", &[("site", "localhost"), ("status", "2xx")]), Some(1.0));
    assert_eq!(found.value("portcullis_tunnels_active", &[]), Some(0.0));
}

#[test]
fn what_runs_is_seen_while_it_runs() {
    let origin = Origin::says_and_stays("");
    let proxy = start(&origin);
    let mut waiting = Raw::connect(proxy.http());
    waiting.send("GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let found = until(proxy.admin(), "one runs", |found| found.value("portcullis_upstream_active", &[("upstream", "app")]) == Some(1.0));
    assert_eq!(found.value("portcullis_exchanges_active", &[]), Some(1.0));
    assert_eq!(found.value("portcullis_connections", &[]), Some(1.0));
    drop(waiting);
    until(proxy.admin(), "none runs", |found| {
        found.value("portcullis_exchanges_active", &[]) == Some(0.0)
            && found.value("portcullis_reasons_total", &[("reason", "client_gone")]) == Some(1.0)
    });
}

#[test]
fn without_the_access_log_numbers_are_the_same() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 1\nstate = \"state\"\naccess-log = \"off\"\n[site.\"*\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    assert_eq!(get(proxy.http(), "a.test", "/b").status, 200);
    let found = until(proxy.admin(), "it is over", |found| found.value("portcullis_requests_total", &[("status", "2xx")]) == Some(1.0));
    assert!(found.value("portcullis_response_body_bytes_total", &[]) > Some(0.0));
    assert!(proxy.access_log().is_empty());
}

/// Every exchange gets the same header: the guest is asked once for each phase of each worker, if at all.
#[test]
fn remembered_decisions_are_counted_and_can_be_forgone() {
    let origin = Origin::echo();
    for (remember, hits, misses) in [(true, 9.0, 1.0), (false, 0.0, 0.0)] {
        let proxy = Proxy::start(&format!(
            r#"
[admin]
listen = "127.0.0.1:0"
[server]
workers = 1
state = "state"
[plugin.headers]
isolate = "request"
remember = {remember}
[site."*"]
tls = "off"
headers = {{ response = {{ set = {{ X-Served-By = "edge" }} }} }}
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
            origin.name()
        ));
        for _ in 0..10 {
            assert_eq!(get(proxy.http(), "a.test", "/").header("x-served-by"), Some("edge"));
        }
        let found = until(proxy.admin(), "ten are over", |found| found.value("portcullis_requests_total", &[]) == Some(10.0));
        let value = |name: &str| found.value(name, &[("plugin", "headers")]).unwrap();
        assert_eq!((value("portcullis_remembered_hits_total"), value("portcullis_remembered_misses_total")), (hits, misses), "{remember}");
        assert_eq!(value("portcullis_remembered_decisions"), misses);
        assert_eq!(value("portcullis_remembered_bytes") > 0.0, remember);
        assert_eq!(value("portcullis_guest_calls_total"), 10.0);
    }
}
