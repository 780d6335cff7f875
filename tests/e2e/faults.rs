//! Guests that misbehave cost their own exchange and nothing else.

use portcullis_tests::{Origin, Proxy, Raw, get, proxy, tools};
use std::process::Command;
use std::time::{Duration, Instant};

/// `/bad/*` through a guest that does `what`, `/good/*` without it.
fn site(origin: &Origin, what: &str, plugin: &str) -> Proxy {
    Proxy::start(&format!(
        r#"
[plugin.behave]
source = "{}"
{plugin}
[site."*"]
tls = "off"
[site."*".routes]
"/good/*" = "app"
"/bad/*" = {{ to = "app", chain = [{{ use = "behave", config = {{ do = "{what}" }} }}] }}
[upstream.app]
servers = ["{}"]
"#,
        tools::guest("behave").display(),
        origin.name()
    ))
}

#[test]
fn every_fault_has_its_reason_and_the_others_go_on() {
    let origin = Origin::echo();
    for (what, status, reason) in [
        ("loop-request", 500, "plugin_timeout"),
        ("loop-response", 500, "plugin_timeout"),
        ("recurse", 500, "plugin_trap"),
        ("trap-request", 500, "plugin_trap"),
        ("trap-response", 500, "plugin_trap"),
        ("exit", 500, "plugin_trap"),
        ("big-reply", 500, "plugin_bad_output"),
        ("many-edits", 500, "plugin_bad_output"),
        ("bad-name", 500, "plugin_bad_output"),
        ("injection", 500, "plugin_bad_output"),
        ("forbidden", 500, "plugin_bad_output"),
        ("bad-path", 500, "plugin_bad_output"),
        ("reserved-attribute", 500, "plugin_bad_output"),
        ("forward-unknown", 500, "plugin_bad_output"),
    ] {
        let proxy = site(&origin, what, "");
        let response = get(proxy.http(), "a.test", "/bad/x");
        assert_eq!((response.status, response.reason()), (status, Some(reason)), "{what}: {response:?}");
        assert!(!format!("{response:?}").contains("hunter2"), "{what}: guests' words do not reach the client");
        assert_eq!(get(proxy.http(), "a.test", "/good/x").status, 200, "{what}");
        proxy.access_line(|line| line.contains(reason) && line.contains("behave:fault"));
    }
}

#[test]
fn a_memory_bomb_is_stopped_at_the_limit() {
    let origin = Origin::echo();
    let proxy = site(&origin, "bomb", "limits = { memory = \"8MiB\", cpu = \"2s\" }");
    let response = get(proxy.http(), "a.test", "/bad/x");
    assert_eq!((response.status, response.reason()), (500, Some("plugin_memory")));
    assert_eq!(get(proxy.http(), "a.test", "/good/x").status, 200);
}

#[test]
fn the_trap_s_words_are_in_the_log_only() {
    let origin = Origin::echo();
    let proxy = site(&origin, "trap-request", "");
    get(proxy.http(), "a.test", "/bad/x");
    proxy.logged("hunter2");
}

#[test]
fn fail_open_lets_the_exchange_pass() {
    let origin = Origin::echo();
    for what in ["trap-request", "trap-response", "loop-request", "bad-name"] {
        let proxy = site(&origin, what, "fail = \"open\"");
        assert_eq!(get(proxy.http(), "a.test", "/bad/x").status, 200, "{what}");
    }
    let proxy = site(&origin, "loop-request", "fail = { trap = \"open\", timeout = \"closed\", overload = \"open\" }");
    assert_eq!(get(proxy.http(), "a.test", "/bad/x").status, 500);
}

#[test]
fn a_guest_is_replaced_after_a_fault() {
    let origin = Origin::echo();
    for isolate in ["worker", "request"] {
        let proxy = site(&origin, "trap-request", &format!("isolate = \"{isolate}\""));
        // As many in a row come without a pause.
        for _ in 0..16 {
            assert_eq!(get(proxy.http(), "a.test", "/bad/x").reason(), Some("plugin_trap"));
        }
        assert_eq!(get(proxy.http(), "a.test", "/good/x").status, 200);
    }
}

#[test]
fn an_abort_closes_the_connection_without_an_answer() {
    let origin = Origin::echo();
    let proxy = site(&origin, "abort", "");
    let mut client = Raw::connect(proxy.http());
    assert!(client.send("GET /bad/ HTTP/1.1\r\nHost: a.test\r\n\r\n").closed());
    assert!(origin.requests().is_empty());
}

#[test]
fn an_endless_loop_costs_its_own_request_only() {
    let origin = Origin::echo();
    let proxy = site(&origin, "loop-request", "");
    let h2load = tools::need("h2load", "nghttp2-client");
    let url = format!("http://{}/good/bytes/100", proxy.http());
    let load = Command::new(h2load).args(["--h1", "-n", "4000", "-c", "8", &url]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    for _ in 0..20 {
        let begun = Instant::now();
        let response = get(proxy.http(), "a.test", "/bad/x");
        assert!(matches!(response.reason(), Some("plugin_timeout" | "plugin_overload")), "{response:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "its own request ends soon: {:?}", begun.elapsed());
    }
    let said = String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(" 0 failed, 0 errored, 0 timeout") && said.contains("4000 2xx"), "{said}");
}

/// What `check` says of a plugin table and a link.
fn check(plugin: &str, link: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "[server]\nstate = \"state\"\n[plugin.x]\n{plugin}\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ respond = \"hi\" }} }}\nchain = [{link}]\n"
    );
    std::fs::write(dir.path().join("portcullis.toml"), config).unwrap();
    let output = proxy::run(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_was_not_granted_never_runs() {
    let text = check(&format!("source = \"{}\"", tools::guest("sockets").display()), "\"x\"");
    assert!(text.contains("E031") && text.contains("wasi:sockets") && text.contains("portcullis.toml:3"), "{text}");
}

#[test]
fn a_pin_must_match_the_file() {
    let pin = "00".repeat(32);
    let text = check(&format!("source = \"{}\"\nsha256 = \"{pin}\"", tools::guest("behave").display()), "\"x\"");
    assert!(text.contains("E030") && text.contains(&pin) && text.contains("portcullis.toml:4"), "{text}");
}

#[test]
fn refused_settings_are_shown_at_their_place() {
    let source = format!("source = \"{}\"", tools::guest("behave").display());
    let text = check(&source, "{ use = \"x\", config = { do = \"refuse\" } }");
    assert!(text.contains("E032") && text.contains("portcullis.toml:8:39") && text.contains("must not be `refuse`"), "{text}");
    let text = check(&source, "{ use = \"x\", config = { do = 3 } }");
    assert!(text.contains("E002") && text.contains("portcullis.toml:8:39"), "{text}");
    let text = check(&source, "{ use = \"x\", config = { do = \"loop-configure\" } }");
    assert!(text.contains("E032") && text.contains("CPU"), "{text}");
}

#[test]
fn a_missing_file_and_a_wrong_one_are_said() {
    let text = check("source = \"nowhere.wasm\"", "\"x\"");
    assert!(text.contains("E030") && text.contains("nowhere.wasm"), "{text}");
    let text = check("source = \"portcullis.toml\"", "\"x\"");
    assert!(text.contains("E030"), "{text}");
}
