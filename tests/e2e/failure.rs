//! Failure, told well: a policy for each cause, a breaker that everybody can see, and reports that lead an author to the line.

use crate::admin::until;
use portcullis_tests::{Origin, Proxy, Response, get, get_with, tools};
use std::path::Path;
use std::time::{Duration, Instant};

/// One worker, so that its breaker is the only one. `/bad/*` through `guest` as `link` says, `/good/*` without it.
fn start(origin: &Origin, guest: &Path, plugin: &str, link: &str) -> Proxy {
    Proxy::start(&format!(
        r#"
[server]
workers = 1
state = "state"
[admin]
listen = "127.0.0.1:0"
[plugin.x]
source = "{}"
{plugin}
[site."*"]
tls = "off"
[site."*".routes]
"/good/*" = "app"
"/bad/*" = {{ to = "app", chain = [{link}] }}
[upstream.app]
servers = ["{}"]
"#,
        guest.display(),
        origin.name()
    ))
}

fn behave(origin: &Origin, what: &str, plugin: &str) -> Proxy {
    start(origin, &tools::guest("behave"), plugin, &format!("{{ use = \"x\", config = {{ do = \"{what}\" }} }}"))
}

/// A guest that fails when it is told to.
fn able(origin: &Origin, breaker: &str) -> Proxy {
    let allow = r#"allow = { log = true, clock = true, random = true, metrics = true, tracing = true, secret = ["S"], kv = ["near"], http = ["app"] }"#;
    let plugin = format!("{allow}\nbreaker = {breaker}\n[kv]\nnear = \"memory\"\n[secret]\nS = \"s\"\n");
    start(origin, &tools::guest("able"), &plugin, "\"x\"")
}

fn bad(proxy: &Proxy) -> Response {
    get(proxy.http(), "a.test", "/bad/x")
}

fn told(proxy: &Proxy, steps: &str) -> Response {
    get_with(proxy.http(), "a.test", "/bad/x", &format!("X-Do: {steps}\r\n"))
}

fn readiness(proxy: &Proxy) -> Response {
    get(proxy.admin(), &proxy.admin().to_string(), "/readyz")
}

#[test]
fn a_link_that_only_fails_is_left_out_and_everybody_can_see_it() {
    let origin = Origin::echo();
    let proxy = behave(&origin, "trap-request", "breaker = { faults = 3, window = \"1h\", pause = \"1h\" }");
    assert_eq!(readiness(&proxy).status, 200);
    for _ in 0..3 {
        assert_eq!(bad(&proxy).reason(), Some("plugin_trap"));
    }
    let refused = bad(&proxy);
    assert_eq!((refused.status, refused.reason()), (503, Some("plugin_overload")));
    assert_eq!(get(proxy.http(), "a.test", "/good/x").status, 200);
    let ready = readiness(&proxy);
    assert!(ready.status == 503 && ready.text().contains("plugin x is left out"), "{ready:?}");
    let found = until(proxy.admin(), "it is open", |found| found.value("portcullis_breakers_open", &[("plugin", "x")]) == Some(1.0));
    assert_eq!(found.value("portcullis_breaker_opened_total", &[("plugin", "x")]), Some(1.0));
    assert_eq!(found.value("portcullis_guest_faults_total", &[("cause", "trap")]), Some(3.0));
    assert!(proxy.logged("is left out for").contains("meanwhile exchanges end"), "{}", proxy.log());
}

#[test]
fn with_an_open_policy_exchanges_go_on_without_it_and_the_proxy_is_ready() {
    let origin = Origin::echo();
    let proxy = behave(&origin, "trap-request", "fail = \"open\"\nbreaker = { faults = 3, window = \"1h\", pause = \"1h\" }");
    for _ in 0..6 {
        assert_eq!(bad(&proxy).status, 200);
    }
    assert!(proxy.logged("is left out for").contains("meanwhile exchanges go on without it"));
    assert_eq!(readiness(&proxy).status, 200);
    until(proxy.admin(), "three ran", |found| {
        found.value("portcullis_guest_faults_total", &[("cause", "trap")]) == Some(3.0)
            && found.value("portcullis_guest_faults_total", &[("cause", "overload")]) == Some(3.0)
    });
}

#[test]
fn after_its_pause_one_good_call_makes_all_as_before() {
    let origin = Origin::echo();
    let proxy = able(&origin, "{ faults = 3, window = \"1h\", pause = \"20ms\" }");
    for _ in 0..3 {
        assert_eq!(told(&proxy, "count NO-NAME of 1").reason(), Some("plugin_trap"));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while told(&proxy, "count fine of 1").status != 200 {
        assert!(Instant::now() < deadline, "never let in again:\n{}", proxy.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.logged("is entered again");
    assert_eq!(readiness(&proxy).status, 200);
    until(proxy.admin(), "none is open", |found| found.value("portcullis_breakers_open", &[("plugin", "x")]) == Some(0.0));
}

#[test]
fn a_client_that_knows_how_to_trap_a_plugin_does_not_have_others_refused() {
    let origin = Origin::echo();
    let proxy = able(&origin, "{ faults = 3, window = \"1h\", pause = \"1h\" }");
    for _ in 0..10 {
        assert_eq!(told(&proxy, "count fine of 1").status, 200);
        assert_eq!(told(&proxy, "count fine of 1").status, 200);
        assert_eq!(told(&proxy, "count NO-NAME of 1").reason(), Some("plugin_trap"));
    }
}

#[test]
fn every_cause_can_have_a_policy_of_its_own() {
    let origin = Origin::echo();
    for (what, fail, status) in [
        ("trap-request", "{ trap = \"open\", bad-output = \"closed\" }", 200),
        ("bad-name", "{ trap = \"open\", bad-output = \"closed\" }", 500),
        ("bad-name", "{ trap = \"open\" }", 200),
        ("bad-name", "{ bad-output = \"open\" }", 200),
        ("trap-request", "{ bad-output = \"open\" }", 500),
        ("bomb", "{ memory = \"open\" }\nlimits = { memory = \"8MiB\", cpu = \"2s\" }", 200),
        ("bomb", "{ trap = \"open\", memory = \"closed\" }\nlimits = { memory = \"8MiB\", cpu = \"2s\" }", 500),
    ] {
        let proxy = behave(&origin, what, &format!("fail = {fail}"));
        assert_eq!(bad(&proxy).status, status, "{what} with {fail}");
    }
}

#[test]
fn a_trap_is_reported_with_its_place_and_the_guest_s_last_words() {
    let origin = Origin::echo();
    let folder = tools::repository().join("tests/guests");
    let built = tools::build_wasm_with(
        &folder,
        &tools::repository().join("target/guests-debug"),
        &[("CARGO_PROFILE_RELEASE_STRIP", "none"), ("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")],
    );
    let link = "{ use = \"x\", as = \"mine\", config = { do = \"trap-request\" } }";
    let proxy = start(&origin, &built.join("guest_behave.wasm"), "", link);
    let response = bad(&proxy);
    assert!(response.status == 500 && !format!("{response:?}").contains("hunter2"), "{response:?}");
    let line = std::fs::read_to_string(folder.join("behave/src/lib.rs")).unwrap();
    let line = 1 + line.lines().position(|line| line.contains("\"trap-request\" => panic!")).unwrap();
    proxy.logged("link mine broke its contract (plugin_trap): on-request:");
    proxy.logged(&format!("behave/src/lib.rs:{line}:"));
    proxy.logged("last said: ");
    assert!(proxy.log().lines().any(|line| line.contains("last said: ") && line.contains("hunter2")), "{}", proxy.log());
}
