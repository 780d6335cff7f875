//! The tools for who writes plugins: `plugin new`, `check`, `test`, `bench`, `explain`, and the SDK's README from nothing to loaded.

mod going_out;

use portcullis_tests::{Origin, Proxy, compiled, get_with, nobody, proxy, tools};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs in a directory with these files.
fn run(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    said(&proxy::run(dir.path(), arguments))
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// The answer of a command with `--json`.
fn json(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = run(files, &[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The commands of a README's section, each with the lines that are shown below it.
fn session(readme: &Path, section: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(readme).unwrap();
    let from = text.find(&format!("\n{section}\n")).unwrap_or_else(|| panic!("no {section} in {}", readme.display()));
    let block = text[from..].split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a console block");
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.split("  # ").next().unwrap_or_default().trim().to_owned(), Vec::new())),
            (None, Some((_, shown))) => shown.push(line.to_owned()),
            (None, None) => panic!("{line:?} comes before any command"),
        }
    }
    commands
}

/// Whether a line of the output is the one shown, where `…` stands for anything.
fn shows(output: &str, shown: &str) -> bool {
    let fits = |line: &str| {
        let mut rest = line;
        shown.split('…').map(str::trim).all(|part| match rest.find(part) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    };
    output.lines().any(fits)
}

#[test]
fn from_nothing_to_loaded_as_the_sdks_readme_says() {
    let dir = tempfile::tempdir().unwrap();
    // A checkout beside the new plugin, and the proxy on the PATH.
    std::os::unix::fs::symlink(tools::repository(), dir.path().join("portcullis")).unwrap();
    let path = format!("{}:{}", tools::portcullis().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut folder = dir.path().to_path_buf();
    for (command, shown) in session(&tools::repository().join("sdk/README.md"), "## Try it") {
        if let Some(into) = command.strip_prefix("cd ") {
            folder.push(into);
            continue;
        }
        let mut shell = Command::new("sh");
        // The crates that the SDK needs are here already, so that the test needs no network.
        shell.args(["-c", &command]).current_dir(&folder).env("PATH", &path).env("CARGO_NET_OFFLINE", "true").env("NO_COLOR", "1");
        shell.env("STATE_DIRECTORY", compiled::state());
        for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_DIR"] {
            shell.env_remove(flags);
        }
        let (code, output) = said(&shell.output().unwrap());
        assert_eq!(code, Some(0), "{command}\n{output}");
        for line in shown.iter().filter(|line| !line.trim().is_empty()) {
            assert!(shows(&output, line), "{command} does not show\n{line}\nbut\n{output}");
        }
    }
    let origin = Origin::echo();
    let config = fs::read_to_string(folder.join("portcullis.toml")).unwrap();
    let plugin = folder.join("target/wasm32-wasip2/release/mark.wasm");
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &origin.name())
        .replace("target/wasm32-wasip2/release/mark.wasm", plugin.to_str().unwrap());
    let proxy = Proxy::start(&config);
    let seen = |agent: &str| get_with(proxy.http(), "localhost", "/", &format!("User-Agent: {agent}\r\n")).text().to_lowercase();
    assert!(seen("curl/8.5").contains("x-agent: yes"));
    assert!(!seen("wget/1.2").contains("x-agent"));
}

#[test]
fn what_is_made_without_an_sdk_or_over_something_else_is_nothing() {
    let (code, text) = run(&[], &["plugin", "new", "mark"]);
    assert!(code == Some(1) && text.contains("--sdk PATH/sdk"), "{text}");
    let (code, text) = run(&[], &["plugin", "new", "Mark!"]);
    assert!(code == Some(2) && text.contains("lower-case letters"), "{text}");
    let sdk = tools::repository().join("sdk");
    let (code, text) = run(&[("a.txt", "mine")], &["plugin", "new", "mark", "--path", ".", "--sdk", sdk.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("not empty"), "{text}");
    let (code, made) = json(&[], &["plugin", "new", "mark", "--sdk", sdk.to_str().unwrap()]);
    assert_eq!((code, made["folder"].as_str()), (Some(0), Some("mark")));
    assert!(made["files"].as_array().unwrap().contains(&"cases.toml".into()), "{made}");
}

const CASES: &str = r#"[plugin.config.request.set]
x-tenant = "{request.header.x-id}"

[[case]]
name    = "the tenant is set"
request = { headers = { x-id = "acme" } }
expect  = { headers = { x-tenant = "acme" }, edits = ["set-header x-tenant: acme"] }

[[case]]
name    = "this one is wrong"
request = { headers = { x-id = "acme" } }
expect.headers = { x-tenant = "umbrella", x-id = "acme" }
expect.edits   = ["set-header x-tenant: umbrella", "remove-header x-id"]

[[case]]
name   = "so is this"
expect = { status = 403 }

[[case]]
name    = "settings that are refused"
config  = { reqest = {} }
refused = "unknown key `reqest`"
"#;

#[test]
fn cases_that_fail_are_shown_with_their_place_and_the_difference() {
    let (code, text) = run(&[("cases.toml", CASES)], &["plugin", "test", "headers", "cases.toml"]);
    assert_eq!(code, Some(1), "{text}");
    for wanted in [
        "ok      the tenant is set",
        "FAILED  this one is wrong",
        "cases.toml:12:",
        "header x-tenant: wanted \"umbrella\", got \"acme\"",
        "- set-header x-tenant: umbrella",
        "- remove-header x-id",
        "+ set-header x-tenant: acme",
        "FAILED  so is this",
        "verdict: wanted reply, got next",
        "status: wanted 403, got no reply",
        "ok      settings that are refused",
        "2 passed, 2 failed",
    ] {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
    let (code, tested) = json(&[("cases.toml", CASES)], &["plugin", "test", "headers", "cases.toml"]);
    assert_eq!((code, &tested["passed"]), (Some(1), &Value::from(false)));
    let failures = tested["cases"][1]["failures"].as_array().unwrap();
    let at = |failure: &Value| failure["at"].as_str().unwrap().starts_with("cases.toml:12:") && failure["got"] == "\"acme\"";
    assert!(failures.iter().any(at), "{failures:?}");
    assert_eq!(tested["cases"][0]["decided"][0]["edits"][0], "set-header x-tenant: acme");
}

#[test]
fn mistakes_in_a_file_of_cases_are_shown_where_they_stand() {
    let cases = r#"[plugin]
allow = { kv = ["session"] }
[kv]
sessions = {}
[[case]]
name = "one"
request = { url = "/x", header = { a = "b" } }
expect = { verdict = "next", status = 403 }
[[case]]
name = "two"
"#;
    let (code, text) = run(&[("cases.toml", cases)], &["plugin", "test", "headers", "cases.toml"]);
    assert_eq!(code, Some(1), "{text}");
    for (place, says) in [
        ("cases.toml:2:", "did you mean `sessions`?"),
        ("cases.toml:7:20", "not an absolute http or https URL"),
        ("cases.toml:7:", "did you mean `headers`?"),
        ("cases.toml:8:", "cannot have what else is expected, which says \"reply\""),
        ("cases.toml:9:", "expects nothing"),
    ] {
        assert!(text.contains(place) && text.contains(says), "{place} with {says} not in:\n{text}");
    }
}

#[test]
fn a_component_that_cannot_be_used_is_told_what_to_do() {
    let (sockets, able) = (tools::guest("sockets"), tools::guest("able"));
    let (code, text) = run(&[], &["plugin", "check", sockets.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("wasi:sockets/") && text.contains("portcullis:plugin/http-client"), "{text}");
    // All that it lacks at once.
    let (code, text) = run(&[], &["plugin", "check", able.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{text}");
    for grant in ["log = true", "clock = true", "random = true", "metrics = true", "kv = [\"…\"]", "http = [\"…\"]", "secret = [\"…\"]"]
    {
        assert!(text.contains(&format!("= add: allow = {{ {grant} }}")), "{grant} not in:\n{text}");
    }
    let (code, text) = run(&[("x.wasm", "\0asm\u{1}\0\0\0")], &["plugin", "check", "x.wasm"]);
    assert!(code == Some(1) && text.contains("core module") && text.contains("--target wasm32-wasip2"), "{text}");
    let (code, text) = run(&[], &["plugin", "check", "headers", "--allow", "files"]);
    assert!(code == Some(2) && text.contains("no capability"), "{text}");
}

#[test]
fn settings_are_checked_where_they_are_written() {
    for (file, settings) in [("s.toml", "strip-prefix = \"/api\"\n"), ("s.json", "{ \"strip-prefix\": \"/api\" }")] {
        let (code, text) = run(&[(file, settings)], &["plugin", "check", "rewrite", "--config", file]);
        assert!(code == Some(0) && text.contains("nothing is wrong"), "{text}");
    }
    let (code, text) = run(&[("s.toml", "agents = 1\nset = { x = 1 }\n")], &["plugin", "check", "headers", "--settings", "s.toml"]);
    assert!(code == Some(1) && text.contains("s.toml:1:1: unknown key `agents`"), "{text}");
    let (code, text) = run(&[("s.json", "{ \"agents\": 1 }")], &["plugin", "check", "headers", "--settings", "s.json"]);
    assert!(code == Some(1) && text.contains("unknown key `agents`"), "{text}");
    let (code, text) = run(&[("s.json", "{")], &["plugin", "check", "headers", "--settings", "s.json"]);
    assert!(code == Some(1) && text.contains("is not JSON"), "{text}");
    let (code, text) = run(
        &[("s.toml", "response = { set = { x-a = \"b\" } }\n")],
        &["plugin", "check", "headers", "--settings", "s.toml", "--allow", "log"],
    );
    assert!(
        code == Some(0) && text.contains("`log` is granted and not imported") && text.contains("chain = [{ use = \"headers\""),
        "{text}"
    );
}

#[test]
fn what_a_plugin_costs_is_measured() {
    let settings = [("s.toml", "response = { set = { x-a = \"b\" } }\nrequest = { set = { x-a = \"b\" } }\n")];
    let (code, benched) = json(&settings, &["plugin", "bench", "headers", "--settings", "s.toml", "--time", "1"]);
    assert_eq!(code, Some(0), "{benched}");
    assert!(benched["size"].as_u64() > Some(1000) && benched["compiled"].as_u64() > Some(1000), "{benched}");
    assert!(benched["load"]["cold"]["median_ns"].as_u64() > benched["load"]["warm"]["median_ns"].as_u64(), "{benched}");
    assert!(benched["guest"]["memory"].as_u64() >= Some(64 << 10), "{benched}");
    let calls: Vec<_> =
        benched["calls"].as_array().unwrap().iter().map(|call| (call["isolate"].as_str(), call["phase"].as_str())).collect();
    // It is pure, so that its decisions are remembered.
    let all = ["worker", "request", "remembered"].map(|isolate| ["on-request", "on-response"].map(|phase| (Some(isolate), Some(phase))));
    assert_eq!(calls, all.concat());
    assert!(benched["calls"][0]["cpu"]["median_ns"].as_u64() > Some(0), "{benched}");
    let (code, text) = run(&[("cases.toml", CASES)], &["plugin", "bench", "headers", "--cases", "cases.toml", "--time", "1"]);
    assert!(code == Some(0) && text.contains("the tenant is set") && text.contains("so is this"), "{text}");
}

#[test]
fn cases_and_figures_need_the_grants_that_the_plugin_needs() {
    let able = tools::guest("able");
    let cases = [("cases.toml", "[[case]]\nname = \"x\"\nexpect = {}\n")];
    for arguments in [&["plugin", "test", able.to_str().unwrap(), "cases.toml"][..], &["plugin", "bench", able.to_str().unwrap()]] {
        let (code, text) = run(&cases, arguments);
        assert!(code == Some(1) && text.contains("add: allow = { http = [\"…\"] }"), "{text}");
    }
}

/// A chain with a link that chooses and a site that is served.
fn chain(upstream: &str) -> String {
    format!(
        r#"[site.localhost]
tls     = "off"
headers = {{ response = {{ set = {{ X-Served-By = "edge" }} }} }}
chain   = ["request-id"]
[site.localhost.routes]
"/*" = "app"
"/robots.txt" = {{ respond = {{ status = 200, body = "no\n" }} }}
"/canary/*" = {{ split = {{ canary = 100 }} }}
[upstream.app]
servers = ["{upstream}"]
[upstream.canary]
servers = ["{upstream}"]
"#
    )
}

#[test]
fn a_made_up_request_goes_through_its_chain_and_nowhere_else() {
    // Nobody listens there: a request that was sent would fail.
    let config = chain(&nobody().to_string());
    let ask = |arguments: &[&str]| json(&[("portcullis.toml", &config)], &[&["plugin", "explain"], arguments].concat());
    let (code, seen) = ask(&["GET", "http://localhost/x", "--status", "503", "--response-header", "x-a: b"]);
    assert_eq!(code, Some(0), "{seen}");
    let decisions = seen["decisions"].as_array().unwrap();
    let of = |decision: &Value| {
        format!("{} {} {}", decision["phase"].as_str().unwrap(), decision["link"].as_str().unwrap(), decision["verdict"].as_str().unwrap())
    };
    let all: Vec<_> = decisions.iter().map(of).collect();
    assert_eq!(all, ["on-request request-id next", "on-response request-id next", "on-response headers next"]);
    assert!(decisions[0]["edits"][0].as_str().unwrap().starts_with("set-header x-request-id: "), "{seen}");
    assert_eq!(seen["answered"]["status"], 503);
    assert!(seen["answered"]["headers"].to_string().contains("[\"x-served-by\",\"edge\"]"), "{seen}");
    let (_, seen) = ask(&["GET", "http://localhost/robots.txt"]);
    assert_eq!((seen["then"].as_str(), &seen["answered"]["status"]), (Some("answered 200 without an upstream"), &Value::from(200)));
    let (_, seen) = ask(&["GET", "http://localhost/canary/x"]);
    assert!(seen["then"].as_str().unwrap().contains("to upstream canary"), "{seen}");
    let (code, seen) = ask(&["GET", "http://elsewhere/"]);
    assert_eq!((code, &seen["answer"]["reason"]), (Some(1), &Value::from("no_site")));
    let (code, text) = run(&[("portcullis.toml", &config)], &["plugin", "explain", "GET", "http://localhost/canary/x"]);
    assert!(code == Some(0) && text.contains("forward canary") && text.contains("portcullis.toml:8:"), "{text}");
}

#[test]
fn far_stores_and_upstreams_are_not_asked_by_a_rehearsal() {
    let folder = tools::repository().join("examples/auth-cache");
    let plugin = tools::build_wasm(&folder, &tools::repository().join("target/examples")).join("auth_cache.wasm");
    let (away, redis) = (nobody().to_string(), nobody().to_string());
    let config = fs::read_to_string(folder.join("portcullis.toml")).unwrap();
    let config = config
        .replace("target/wasm32-wasip2/release/auth_cache.wasm", plugin.to_str().unwrap())
        .replace("127.0.0.1:9001", &away)
        .replace("known = \"memory\"", &format!("known = \"redis://{redis}/0\""));
    let arguments = ["plugin", "explain", "GET", "http://localhost/", "-H", "authorization: Bearer x"];
    let (code, text) = run(&[("portcullis.toml", &config)], &arguments);
    assert_eq!(code, Some(0), "{text}");
    for wanted in ["1. auth-cache  reply 503", "`plugin explain` contacts no upstream", "the store known was an empty one"] {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
}

#[test]
fn the_examples_cases_hold() {
    for name in ["first-plugin", "auth-cache", "zone-balance"] {
        let folder = tools::repository().join("examples").join(name);
        let plugin =
            tools::build_wasm(&folder, &tools::repository().join("target/examples")).join(format!("{}.wasm", name.replace('-', "_")));
        let cases = folder.join("cases.toml");
        let (code, text) = run(&[], &["plugin", "test", plugin.to_str().unwrap(), cases.to_str().unwrap()]);
        assert!(code == Some(0) && text.contains("0 failed"), "{text}");
        let (code, benched) = json(&[], &["plugin", "bench", plugin.to_str().unwrap(), "--cases", cases.to_str().unwrap(), "--time", "1"]);
        assert_eq!(code, Some(0), "{benched}");
    }
}

const BODIES: &str = r#"[plugin.config]
replace = { text = "cat", with = "dog" }

[[case]]
name     = "across pieces"
response = { headers = { content-type = "text/plain" }, body = ["a ca", "t, a cat"] }
expect-response = { want = "transform", body = "a dog, a dog" }

[[case]]
name     = "other types pass"
response = { headers = { content-type = "image/png" }, body = "cat" }
expect-response = { want = "pass", body = "cat" }

[[case]]
name     = "this one is wrong"
response = { headers = { content-type = "text/html" }, body = "cat" }
expect-response = { want = "buffer", body = "cat" }
"#;

#[test]
fn cases_have_bodies() {
    let (code, text) = run(&[("cases.toml", BODIES)], &["plugin", "test", "body-rewrite", "cases.toml"]);
    assert_eq!(code, Some(1), "{text}");
    for wanted in [
        "ok      across pieces",
        "ok      other types pass",
        "want: wanted \"buffer\", got \"transform\"",
        "body: wanted \"cat\", got \"dog\"",
        "on-response-body decided: transform, 1 piece",
        "2 passed, 1 failed",
    ] {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
    let (code, benched) = json(&[("cases.toml", BODIES)], &["plugin", "bench", "body-rewrite", "--cases", "cases.toml", "--time", "1"]);
    assert!(code == Some(0) && benched["calls"][0]["phase"] == "response+body", "{benched}");
}

#[test]
fn cases_see_every_way_to_have_a_body() {
    let of = |what: &str, rest: &str| format!("[[case]]\nname = {what:?}\nconfig = {{ do = {what:?} }}\n{rest}\n");
    let response = "response = { headers = { content-type = \"text/plain\" }, trailers = { x-sum = \"1\" }, body = [\"ab\", \"cd\"] }";
    let request = "request = { headers = { content-type = \"text/plain\" }, method = \"POST\", body = \"abcd\" }";
    let long = "x".repeat(1001);
    let cases = [
        of("watch", &format!("{response}\nexpect-response = {{ want = \"watch\", body = \"abcd\", trailers = {{ x-sum = \"1\" }} }}")),
        of(
            "trailers",
            &format!("{response}\nexpect-response = {{ trailers = {{ x-pieces = \"2\", x-bytes = \"4\", x-seen = \"x-sum\" }} }}"),
        ),
        of(
            "request:double",
            &format!("{request}\nexpect = {{ want = \"transform\", body = \"abcdabcd\", headers = {{ x-known = \"Some(4)\" }} }}"),
        ),
        of(
            "request:buffer-replace",
            &format!("{request}\nexpect = {{ want = \"buffer\", body = \"dcba\", headers = {{ x-whole = \"4\" }} }}"),
        ),
        of("request:buffer-reply", &format!("{request}\nexpect = {{ status = 418, body = \"4 bytes are not welcome\\n\" }}")),
        of("request:buffer", &format!("request.body = {long:?}\nexpect.verdict = \"too-large\"")),
        of("buffer", &format!("response.body = {long:?}\nexpect-response.verdict = \"too-large\"")),
        of("trap-later", &format!("{response}\nexpect-response.fault = \"trap\"")),
    ]
    .concat();
    let guest = tools::guest("bodies");
    let (code, text) = run(&[("cases.toml", &cases)], &["plugin", "test", guest.to_str().unwrap(), "cases.toml"]);
    assert!(code == Some(0) && text.contains("8 passed, 0 failed"), "{text}");
}

#[test]
fn a_made_up_body_goes_through_the_chain() {
    let config = chain(&nobody().to_string())
        .replace("chain   = [\"request-id\"]", "chain = [{ use = \"body-rewrite\", replace = { text = \"cat\", with = \"dog\" } }]");
    let files = [("portcullis.toml", &*config)];
    let arguments =
        ["plugin", "explain", "GET", "http://localhost/", "--response-header", "content-type: text/plain", "--response-data", "a cat"];
    let (code, text) = run(&files, &arguments);
    assert!(code == Some(0) && text.contains("body: transform, 1 piece") && text.contains("body: 5 bytes: a dog"), "{text}");
    let (_, seen) = json(&files, &arguments);
    assert_eq!((seen["answered"]["body"].as_str(), seen["decisions"][0]["want"].as_str()), (Some("a dog"), Some("transform")), "{seen}");
    let (code, text) = run(&files, &["explain", "GET", "http://localhost/"]);
    assert!(code == Some(0) && text.contains("on-response-body"), "{text}");
}

const CONNECTIONS: &str = r#"[plugin.config]
deny = ["203.0.113.0/24"]

[[case]]
name          = "others come in"
connection    = { peer = "192.0.2.9:4000" }
expect-accept = { verdict = "next" }

[[case]]
name          = "this network does not"
connection    = { peer = "203.0.113.9:4000", listener = "tcp" }
expect-accept = { verdict = "reset" }

[[case]]
name          = "this one is wrong"
connection    = { peer = "203.0.113.9:4000" }
expect-accept = { verdict = "next" }
"#;

#[test]
fn cases_have_connections() {
    let (code, text) = run(&[("cases.toml", CONNECTIONS)], &["plugin", "test", "ip-filter", "cases.toml"]);
    assert_eq!(code, Some(1), "{text}");
    for wanted in ["ok      others come in", "ok      this network does not", "verdict: wanted next, got reset", "2 passed, 1 failed"] {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
    let (code, benched) = json(&[("cases.toml", CONNECTIONS)], &["plugin", "bench", "ip-filter", "--cases", "cases.toml", "--time", "1"]);
    assert!(code == Some(0) && benched["calls"][0]["phase"] == "connection", "{benched}");
    let mixed = CONNECTIONS.replace("name          = \"others come in\"", "name = \"x\"\nrequest = {}\nresponse = {}");
    let (code, text) = run(&[("cases.toml", &mixed)], &["plugin", "test", "ip-filter", "cases.toml"]);
    assert!(
        code == Some(1) && text.contains("`request` is of requests, and this is a connection") && text.contains("cases.toml:6:"),
        "{text}"
    );
}

/// What `knock` is told to do, and what is to come of it.
const CASES_OF_KNOCK: [(&str, &str); 10] = [
    ("close", "connection = {}\nexpect-accept.verdict = \"close\""),
    ("forward", "connection.listener = \"tcp\"\nexpect-accept.upstream = \"canary\""),
    // Where TLS ends, bytes cannot be forwarded before.
    ("forward ", "connection = {}\nexpect-accept.fault = \"bad-output\""),
    ("forward-unknown", "connection.listener = \"tcp\"\nexpect-accept.fault = \"bad-output\""),
    ("tenant", "connection = {}\nexpect-accept.attributes = { tenant = \"acme\", other = false }"),
    ("alert", "connection = {}\nexpect-hello.alert = 49\n[[case.then]]\nexpect-hello = { verdict = \"alert\" }"),
    (
        "pass-through",
        "connection = { listener = \"tcp\", sni = \"a.test\" }\nexpect-hello = { verdict = \"pass-through\", upstream = \"canary\" }",
    ),
    ("forward-hello", "connection = { listener = \"tcp\", alpn = \"postgresql\" }\nexpect-hello.upstream = \"canary\""),
    ("trap-close", "connection = {}\nexpect-close.fault = \"trap\""),
    (
        "look",
        "connection = { received = 7, reason = \"stopped\" }\nexpect-close.log = [\"received=7\", \"stopped\"]\nexpect-hello.log = \"sni=example.test alpn=h2-http/1.1\"",
    ),
];

#[test]
fn cases_see_every_phase_of_a_connection() {
    let of = |what: &str, rest: &str| format!("[[case]]\nname = {what:?}\nconfig = {{ do = {:?} }}\n{rest}\n", what.trim());
    let cases =
        "[upstream.canary]\nstatus = 200\n".to_owned() + &CASES_OF_KNOCK.iter().map(|(what, rest)| of(what, rest)).collect::<String>();
    let guest = tools::guest("knock");
    let (code, text) = run(&[("cases.toml", &cases)], &["plugin", "test", guest.to_str().unwrap(), "cases.toml"]);
    assert!(code == Some(0) && text.contains(&format!("{} passed, 0 failed", CASES_OF_KNOCK.len())), "{text}");
}
