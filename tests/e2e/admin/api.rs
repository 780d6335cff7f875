//! The admin API: what it says is what its description says (schemathesis asks at random), who may ask, and what is asked for is done.

use portcullis_tests::{Origin, Proxy, Raw, Response, get, get_with, proxy, tools};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

const TOKEN: &str = "Authorization: Bearer sesame-sesame-sesame\r\n";

fn config(origin: &Origin, body: &str) -> String {
    format!(
        r#"
[server]
workers = 2
state = "state"
watch = false
[listen]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
token = {{ file = "token" }}
[site.localhost]
tls = "local"
chain = ["security-headers"]
[site.localhost.routes]
"/*" = "app"
"~^/v[0-9]+/" = {{ to = "app", priority = 1, match = {{ method = ["GET", "POST"] }} }}
[site."plain.test"]
tls = "off"
[site."plain.test".routes]
"/*" = {{ to = "app", chain = [{{ use = "headers", when = {{ path = "/x/*" }}, response = {{ set = {{ x-a = "b" }} }} }}] }}
"=/hello" = {{ respond = {{ status = 200, body = "{body}" }} }}
[upstream.app]
servers = ["{}"]
"#,
        origin.name()
    )
}

fn start(origin: &Origin) -> Proxy {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "sesame-sesame-sesame\n").unwrap();
    Proxy::start_in(dir, &config(origin, "hi"))
}

fn json_of(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

fn read(admin: SocketAddr, path: &str) -> Value {
    let response = get_with(admin, "a.test", path, TOKEN);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    json_of(&response)
}

/// Reads until it is so.
fn until(admin: SocketAddr, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = read(admin, path);
        if fits(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "never in {path}: {found:#}");
    }
}

/// A request with a body of JSON.
fn send(admin: SocketAddr, method: &str, path: &str, body: &str, fields: &str) -> Response {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: {}\r\n", body.len());
    Raw::connect(admin).send(format!("{head}{TOKEN}{fields}Connection: close\r\n\r\n{body}")).response()
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn what_it_says_is_what_its_description_says() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let admin = proxy.admin();
    assert_eq!(get(proxy.http(), "plain.test", "/x/y").status, 200);
    let schemathesis = tools::python_with("schemathesis", "schemathesis").with_file_name("schemathesis");
    let output = Command::new(schemathesis)
        .args(["run", &format!("http://{admin}/api/openapi.json"), "--header", "Authorization: Bearer sesame-sesame-sesame"])
        // Which texts are URLs, header fields and filters, a schema cannot say.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1", "--request-timeout", "60"])
        .args(["--generation-database", "none", "--suppress-health-check", "all", "--no-color"])
        .current_dir(proxy.dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&output.stderr), proxy.log());
}

#[test]
fn what_is_served_is_shown() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let admin = proxy.admin();
    assert_eq!(get(proxy.http(), "plain.test", "/x/y").status, 200);
    assert_eq!(get(proxy.http(), "none.test", "/").status, 404);
    // Exchanges are counted when they are over, which may be a moment after the answer.
    let status = until(admin, "/api/status", |status| status["reasons"] != json!([]));
    assert_eq!((&status["standing"], &status["generation"], &status["generations"]), (&json!("serving"), &json!(1), &json!([1])));
    assert!(status["reasons"].as_array().unwrap().contains(&json!({ "of": "exchange", "reason": "no_site", "count": 1 })), "{status}");
    let http = json!({ "kind": "http", "address": proxy.http().to_string() });
    assert!(status["listeners"].as_array().unwrap().contains(&http), "{http} in {status}");
    let sites = read(admin, "/api/sites");
    assert_eq!((&sites[0]["name"], &sites[0]["tls"], &sites[1]["tls"]), (&json!("localhost"), &json!("local"), &json!("off")));
    let routes = until(admin, "/api/routes", |routes| routes.as_array().unwrap().iter().any(|route| route["traffic"]["requests"] == 1));
    let plain = routes.as_array().unwrap().iter().find(|route| route["site"] == "plain.test" && route["pattern"] == "/*").unwrap();
    assert_eq!(
        (&plain["chain"][0]["name"], &plain["chain"][0]["conditional"], &plain["to"]),
        (&json!("headers"), &json!(true), &json!("app"))
    );
    assert_eq!((&plain["traffic"]["requests"], &plain["traffic"]["statuses"]["2xx"]), (&json!(1), &json!(1)));
    let upstreams = read(admin, "/api/upstreams");
    assert_eq!((&upstreams[0]["servers"][0], &upstreams[0]["requests"]), (&json!(origin.name()), &json!(1)));
    let certificates = read(admin, "/api/certificates");
    assert_eq!((&certificates[0]["site"], &certificates[0]["from"]), (&json!("localhost"), &json!("local")));
    assert!(certificates[0]["certificate"]["days_left"].as_i64().unwrap() > 0, "{certificates}");
    let plugins = read(admin, "/api/plugins");
    let headers = plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == "headers").unwrap();
    assert_eq!((&headers["bundled"], &headers["may"]), (&json!(true), &json!([])));
    assert!(!format!("{status}{routes}{plugins}").contains("sesame"));
}

#[test]
fn a_server_that_is_taken_out_gets_nothing_new_and_ends_what_it_has() {
    let (one, other) = (Origin::named("one"), Origin::named("other"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "sesame-sesame-sesame\n").unwrap();
    let text =
        |body: &str| config(&one, body).replace(&format!("\"{}\"]", one.name()), &format!("\"{}\", \"{}\"]", one.name(), other.name()));
    let proxy = Proxy::start_in(dir, &text("hi"));
    let admin = proxy.admin();
    let server = format!("/api/upstreams/app/servers/{}", one.name().replace(':', "%3A"));
    let post = |what: &str| json_of(&send(admin, "POST", &format!("{server}/{what}"), "", ""));
    let who = || {
        let who: std::collections::BTreeSet<_> =
            (0..40).map(|_| get(proxy.http(), "plain.test", "/").header("x-origin").unwrap().to_owned()).collect();
        who.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(who(), ["one", "other"]);
    // What runs there when it is taken out.
    let mut running: Vec<_> = (0..6).map(|_| Raw::connect(proxy.http())).collect();
    for client in &mut running {
        client.send("GET /slow/2000 HTTP/1.1\r\nHost: plain.test\r\n\r\n");
    }
    until(admin, &server, |server| server["active"].as_u64().unwrap() > 0);
    let told = post("drain");
    assert_eq!((&told["upstream"], &told["server"], &told["drained"]), (&json!("app"), &json!(one.name()), &json!(true)));
    assert_eq!(who(), ["other"]);
    assert!(running.iter_mut().all(|client| client.response().status == 200));
    until(admin, &server, |server| server["active"] == 0);
    // It is seen wherever one would look, and stays so over a reload.
    std::fs::write(proxy.dir.path().join("portcullis.toml"), text("ho")).unwrap();
    assert_eq!(send(admin, "POST", "/api/reload", "", "").status, 200);
    assert_eq!(who(), ["other"]);
    assert_eq!(read(admin, "/api/upstreams")[0]["drained"], json!([one.name()]));
    let metrics = get_with(admin, "a.test", "/metrics", TOKEN).text();
    assert!(
        metrics.contains(&format!("portcullis_upstream_server_drained{{upstream=\"app\",server=\"{}\"}} 1\n", one.name())),
        "{metrics}"
    );
    let explained = json_of(&send(admin, "POST", "/api/explain", "{\"url\": \"http://plain.test/\"}", JSON));
    assert_eq!(explained["upstream"]["drained"], json!([one.name()]), "{explained}");
    // With nobody left, that is what is said.
    assert_eq!(send(admin, "POST", &format!("/api/upstreams/app/servers/{}/drain", other.name()), "", "").status, 200);
    let refused = get(proxy.http(), "plain.test", "/");
    assert_eq!((refused.status, refused.reason()), (503, Some("upstream_drained")));
    assert_eq!(post("enable")["drained"], false);
    assert_eq!(who(), ["one"]);
    assert_eq!(send(admin, "POST", &format!("/api/upstreams/app/servers/{}/enable", other.name()), "", "").status, 200);
    assert_eq!(who(), ["one", "other"]);
    assert_eq!(send(admin, "POST", "/api/upstreams/app/servers/nobody:1/drain", "", "").status, 404);
}

#[test]
fn what_a_reload_would_change_is_told_before_it_does() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let admin = proxy.admin();
    assert_eq!(read(admin, "/api/diff")["changes"], json!([]));
    let path = proxy.dir.path().join("portcullis.toml");
    std::fs::write(&path, config(&origin, "ho")).unwrap();
    let told = json!(["site plain.test: changed"]);
    assert_eq!(read(admin, "/api/diff")["changes"], told);
    let output = proxy::run(proxy.dir.path(), &["diff"]);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(words, "a reload would replace generation 1:\n  site plain.test: changed\n");
    assert_eq!(get(proxy.http(), "plain.test", "/hello").text(), "hi");
    let said = json_of(&send(admin, "POST", "/api/reload", "", ""));
    assert_eq!((&said["well"], &said["generation"], &said["changes"]), (&json!(true), &json!(2), &told));
    assert_eq!(get(proxy.http(), "plain.test", "/hello").text(), "ho");
    let output = proxy::run(proxy.dir.path(), &["diff", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["changes"], json!([]));
    std::fs::write(&path, "what").unwrap();
    let refused = send(admin, "POST", "/api/reload", "", "");
    assert_eq!((refused.status, &json_of(&refused)["well"]), (422, &json!(false)));
    assert!(json_of(&refused)["text"].as_str().unwrap().contains("E001"));
    assert!(!proxy::run(proxy.dir.path(), &["diff"]).status.success());
    assert_eq!(read(admin, "/api/status")["generation"], json!(2));
}

#[test]
fn what_is_served_explains_itself() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let ask = |url: &str| json_of(&send(proxy.admin(), "POST", "/api/explain", &json!({ "url": url }).to_string(), JSON));
    // What the file says by now is another question.
    std::fs::write(proxy.dir.path().join("portcullis.toml"), "what").unwrap();
    let explained = ask("http://plain.test/x/y");
    assert_eq!((&explained["route"]["pattern"], &explained["chain"][0]["entered"]), (&json!("/*"), &json!(true)));
    assert_eq!(ask("http://none.test/")["answer"], json!({ "status": 404, "reason": "no_site" }));
    assert_eq!(send(proxy.admin(), "POST", "/api/explain", "{\"url\": \"ftp://a\"}", JSON).status, 400);
}

#[test]
fn the_log_says_more_when_it_is_told_to() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let admin = proxy.admin();
    assert_eq!(read(admin, "/api/log"), json!({ "filter": "info" }));
    assert_eq!(get(proxy.http(), "none.test", "/before").status, 404);
    assert!(!proxy.log().contains("DEBUG"));
    assert_eq!(json_of(&send(admin, "PUT", "/api/log", "{\"filter\": \"debug\"}", JSON)), json!({ "filter": "debug" }));
    assert_eq!(get(proxy.http(), "none.test", "/after").status, 404);
    proxy.logged("no_site");
    assert_eq!(send(admin, "PUT", "/api/log", "{\"filter\": \"[{a=~\\\"(x+)+\\\"}]\"}", JSON).status, 400);
    assert_eq!(read(admin, "/api/log"), json!({ "filter": "debug" }));
}

#[test]
fn who_has_no_token_and_whom_a_page_elsewhere_sends_gets_nothing() {
    let origin = Origin::echo();
    let proxy = start(&origin);
    let admin = proxy.admin();
    for path in ["/api/status", "/api/openapi.json", "/api/nothing"] {
        assert_eq!(get(admin, &admin.to_string(), path).status, 401, "{path}");
    }
    // Without a token everybody of this machine may ask, but for browsers that are sent here.
    let open = Proxy::start(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = { respond = { status = 204 } } }\n",
    );
    let admin = open.admin();
    let post = |fields: &str| send(admin, "POST", "/api/reload", "", fields).status;
    assert_eq!((post("Origin: http://evil.test\r\n"), post("Sec-Fetch-Site: cross-site\r\n")), (403, 403));
    assert_eq!((post(&format!("Origin: http://{admin}\r\nSec-Fetch-Site: same-origin\r\n")), post("")), (200, 200));
    assert_eq!(get(admin, "evil.test", "/api/status").status, 421);
}
