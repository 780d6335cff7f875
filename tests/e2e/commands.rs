//! The commands a user types: what they print and how they exit.

use portcullis_tests::{proxy, tools};
use std::process::Output;

/// Runs in a directory with this `portcullis.toml`.
fn run(config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("portcullis.toml"), config).unwrap();
    said(&proxy::run(dir.path(), arguments))
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

const GOOD: &str = r#"[server]
state = "state"
[listen]
https = ["127.0.0.1:8443"]
http = ["127.0.0.1:8080"]
[site.localhost]
chain = ["request-id"]
[site.localhost.routes]
"/*" = "app"
"/api/*" = { to = "app", strip = "/api", timeout = { total = "30s" } }
[upstream.app]
servers = ["127.0.0.1:9000"]
"#;

#[test]
fn check_passes_what_is_right() {
    let (code, text) = run(GOOD, &["check"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn every_command_takes_its_file_as_an_argument_or_as_an_option() {
    let state = tempfile::tempdir().unwrap();
    let config = GOOD.replace("\"state\"", &format!("{:?}", state.path()));
    let commands: [&[&str]; 6] = [
        &["check"],
        &["explain", "GET", "https://localhost/"],
        &["explain", "tcp", ":5432"],
        &["plugin", "explain", "GET", "https://localhost/"],
        &["reload"],
        &["ca", "root"],
    ];
    for command in commands {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("other.toml"), &config).unwrap();
        let ask = |file: &[&str]| said(&proxy::run(dir.path(), &[command, file].concat()));
        let times = |text: &str| text.split_whitespace().filter(|word| !word.contains("µs") && word.parse::<f64>().is_err()).count();
        let (code, text) = ask(&["other.toml"]);
        for option in ["-c", "--config"] {
            let (same, said) = ask(&[option, "other.toml"]);
            assert_eq!((same, times(&said)), (code, times(&text)), "{command:?} {option}\n{text}\n{said}");
        }
        // The usual file is not there, and is not what was read.
        let (unnamed, without) = ask(&[]);
        assert!((unnamed, &without) != (code, &text), "{command:?}\n{text}");
        let (code, text) = ask(&["other.toml", "-c", "other.toml"]);
        assert!(code == Some(2) && text.contains("cannot be used with"), "{command:?}\n{text}");
    }
}

#[test]
fn check_prints_every_mistake_with_its_place_and_a_suggestion() {
    let config = r#"[site.localhost]
tls = "locl"
rotes = { "/*" = "app" }
[site.localhost.routes]
"/*" = { to = "ap", timeout = { total = "10 parsecs" } }
"/x/*" = { to = "app", chain = ["reqest-id"] }
[upstream.app]
servers = ["127.0.0.1:9000"]
helth = "GET /"
"#;
    let (code, text) = run(config, &["check"]);
    assert_eq!(code, Some(1), "{text}");
    for (place, suggestion) in [
        ("portcullis.toml:2:7", "local"),
        ("portcullis.toml:3:1", "did you mean `routes`"),
        ("portcullis.toml:5:", "did you mean `app`"),
        ("portcullis.toml:5:44", "units: ms, s"),
        ("portcullis.toml:6:", "did you mean `request-id`"),
        ("portcullis.toml:9:1", "helth"),
    ] {
        assert!(text.contains(place) && text.contains(suggestion), "{place} with {suggestion} not in:\n{text}");
    }
    assert_eq!(text.matches("error[E").count(), 6, "{text}");
    assert!(text.contains("6 errors"), "{text}");
}

#[test]
fn check_speaks_json() {
    let (code, text) = run("[site.a]\ntlss = 1\n", &["check", "--json"]);
    assert_eq!(code, Some(1));
    let json: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert!(json.to_string().contains("E003"), "{json:#}");
}

#[test]
fn run_refuses_what_check_refuses() {
    let (code, text) = run("[site.localhost]\nrotes = {}\n", &["run"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("E003"), "{text}");
}

#[test]
fn explain_shows_site_route_links_upstream_and_timeouts() {
    let (code, text) = run(GOOD, &["explain", "GET", "https://localhost:8443/api/x"]);
    assert_eq!(code, Some(0), "{text}");
    for wanted in
        ["localhost", "/api/*", "portcullis.toml:10", "request-id", "portcullis.toml:7", "rewrite", "/api", "app", "127.0.0.1:9000", "30s"]
    {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
    let (_, json) = run(GOOD, &["explain", "GET", "https://localhost:8443/api/x", "--json"]);
    serde_json::from_str::<serde_json::Value>(json.trim()).expect("JSON");
    let (code, text) = run(GOOD, &["explain", "GET", "https://other.test/"]);
    assert!(code == Some(1) && text.contains("no_site"), "{text}");
    let (_, text) = run(GOOD, &["explain", "GET", "http://localhost:8080/api/x"]);
    assert!(text.contains("https"), "a redirect is said: {text}");
}

#[test]
fn explain_shows_what_holds_for_the_upstream() {
    let terms =
        "balance = \"hash(path)\"\nsticky = { cookie = \"sid\" }\nhealth = \"GET /healthz every 5s\"\nlimits = { per-server = 7 }\n";
    let (code, text) = run(&format!("{GOOD}{terms}"), &["explain", "GET", "https://localhost:8443/"]);
    assert_eq!(code, Some(0), "{text}");
    for wanted in
        ["hash(path)", "cookie sid", "GET /healthz every 5s, within 2s; down after 3, up after 2", "7 on each server, 100 wait for 1s"]
    {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
}

#[test]
fn defaults_and_schema_are_printed() {
    let (code, text) = run("", &["defaults"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("32 KiB") || text.contains("32KiB"), "{text}");
    let (code, text) = run("", &["schema"]);
    assert_eq!(code, Some(0));
    let defined = |text: &str, key: &str| serde_json::from_str::<serde_json::Value>(text.trim()).unwrap().pointer(key).is_some();
    assert!(defined(&text, "/$defs/root/properties/site") && !defined(&text, "/$defs/case"), "{text}");
    let (code, text) = run("", &["schema", "--cases"]);
    assert_eq!(code, Some(0));
    assert!(defined(&text, "/$defs/case/properties/expect-balance") && !defined(&text, "/$defs/root"), "{text}");
}

#[test]
fn inspect_shows_a_bundled_plugin() {
    let (code, text) = run("", &["plugin", "inspect", "headers"]);
    assert_eq!(code, Some(0), "{text}");
    for wanted in ["on-request", "on-response", "settings", "sha256"] {
        assert!(text.to_lowercase().contains(wanted), "{wanted} not in:\n{text}");
    }
    let (code, text) = run("", &["plugin", "inspect", "portcullis.toml"]);
    assert!(code == Some(1) && text.contains("portcullis.toml"), "{text}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[server]\nstate = \"state\"\n[listen]\nhttp = [\"{}\"]\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/\" = {{ respond = \"hi\" }} }}\n",
        taken.local_addr().unwrap()
    );
    let (code, text) = run(&config, &["run"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("E040") && text.contains("portcullis.toml:4"), "{text}");
}

#[test]
fn certificate_files_that_are_not_there_are_each_said_where_they_are_named() {
    let config = GOOD.replace("[site.localhost]\n", "[site.localhost]\ntls = { cert = \"no.pem\", key = \"no.key\" }\n");
    let (code, text) = run(&config, &["check"]);
    assert_eq!(code, Some(1), "{text}");
    for (file, place) in [("no.pem", "portcullis.toml:7:16"), ("no.key", "portcullis.toml:7:32")] {
        let finding = text.split("error[").find(|finding| finding.contains(place)).unwrap_or_default();
        assert!(finding.starts_with("E025") && finding.contains(file), "{file} at {place} not in:\n{text}");
    }
}

#[test]
fn a_missing_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = said(&proxy::run(dir.path(), &["run", "nowhere.toml"]));
    assert!(code == Some(1) && text.contains("nowhere.toml"), "{text}");
    assert!(tools::portcullis().is_file());
}

#[test]
fn explain_does_not_show_secrets() {
    let config = GOOD.replace("[\"request-id\"]", "[{ use = \"headers\", request = { set = { X-Key = { file = \"key\" } } } }]");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("portcullis.toml"),
        config.replace("set = { X-Key = { file = \"key\" } }", "remove = [{ file = \"key\" }]"),
    )
    .unwrap();
    std::fs::write(dir.path().join("key"), "x-hidden\n").unwrap();
    let (code, text) = said(&proxy::run(dir.path(), &["explain", "GET", "https://localhost:8443/api/x"]));
    assert!(code == Some(0) && text.contains("(secret)") && !text.contains("x-hidden"), "{text}");
}

#[test]
fn explain_and_inspect_say_whose_decisions_are_remembered() {
    let config = GOOD.replace(
        "[\"request-id\"]",
        "[\"request-id\", { use = \"headers\", request = { set = { X-A = \"b\" } } }, { use = \"headers\", as = \"who\", request = { set = { X-A = \"{client.ip}\" } } }]",
    );
    let (code, text) = run(&config, &["explain", "GET", "https://localhost:8443/api/x"]);
    assert_eq!(code, Some(0), "{text}");
    let line = |start: &str| text.lines().find(|line| line.contains(start)).unwrap_or_else(|| panic!("no {start} in:\n{text}"));
    assert!(line("1. request-id").contains("[one guest per worker]"), "{text}");
    assert!(line("2. headers").contains("[decisions are remembered]"), "{text}");
    assert!(line("2. headers").contains("  on-request, on-response  "), "{text}");
    assert!(line("3. who").contains("[one guest per worker]"), "{text}");
    let asked = format!("{config}\n[plugin.request-id]\nisolate = \"request\"\n");
    let (_, text) = run(&asked, &["explain", "GET", "https://localhost:8443/api/x"]);
    assert!(text.contains("a fresh guest each time; not remembered: imports `get-random-u64`"), "{text}");
    let (code, text) = run("", &["plugin", "inspect", "headers"]);
    assert!(code == Some(0) && text.contains("pure: decisions may be remembered"), "{text}");
}
