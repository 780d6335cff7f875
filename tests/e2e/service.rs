//! Components for wasi:http as servers of upstreams: they answer as others do, within their limits, and harm nobody but their own request.

use portcullis_tests::{Origin, Proxy, Raw, Response, get, get_with, nobody, proxy, tools};
use std::time::{Duration, Instant};

/// The guest `service`, declared with more TOML for its table; `idp` is another upstream.
fn config(plugin: &str, idp: &str) -> String {
    format!(
        "[plugin.service]\nsource = \"{}\"\n{plugin}\n[site.\"a.test\"]\ntls = \"off\"\n[site.\"a.test\".routes]\n\"/*\" = \"service\"\n\"/plain/*\" = \"idp\"\n\
         [upstream]\nservice = \"component:service\"\nidp = \"{idp}\"\nother = \"{idp}\"\n",
        tools::guest("service").display()
    )
}

const GRANTED: &str = "allow = { http = [\"idp\"] }";

fn start(plugin: &str) -> (Proxy, Origin) {
    let origin = Origin::echo();
    (Proxy::start(&config(plugin, &origin.name())), origin)
}

fn ask(proxy: &Proxy, path: &str) -> Response {
    get(proxy.http(), "a.test", path)
}

#[test]
fn a_component_answers_requests() {
    let (proxy, _origin) = start(GRANTED);
    let response = ask(&proxy, "/hello");
    assert_eq!((response.status, response.text().as_str()), (200, "hello from a component\n"), "{}", proxy.log());
    assert_eq!(response.header("content-type"), Some("text/plain"));
    let text = get_with(proxy.http(), "a.test", "/head?a=b", "X-Mine: 1\r\n").text();
    for line in ["Method::Get", "Scheme::Http", "\"a.test\"", "\"/head?a=b\"", "x-mine: 1", "x-forwarded-for: 127.0.0.1"] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert_eq!(ask(&proxy, "/empty").status, 204);
    assert!(ask(&proxy, "/time").text().trim().parse::<u64>().unwrap() > 1_700_000_000);
    // Nothing of the machine is there.
    assert_eq!(ask(&proxy, "/files").text(), "true 0\n");
    let line = proxy.access_line(|line| line.contains("/hello"));
    assert!(line.contains("component:service"), "{line}");
}

#[test]
fn bodies_stream_with_trailers_and_no_faster_than_they_are_taken() {
    // Without optimisation 100 MiB take more time than services have.
    let (proxy, _origin) = start("allow = { http = [\"idp\"] }\nlimits = { cpu = \"10s\" }");
    let mut raw = Raw::connect(proxy.http());
    raw.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n5\r\nhello\r\n");
    // The answer begins before the request has ended.
    let head = raw.until(b"hello\r\n").unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    raw.send("6\r\n again\r\n0\r\nX-Sum: 11\r\n\r\n");
    let rest = String::from_utf8(raw.until(b"\r\n\r\n").unwrap()).unwrap().to_lowercase();
    assert!(rest.contains(" again") && rest.contains("x-sum: 11"), "{rest}");

    // 100 MiB do not fit into a guest of 64 MiB, nor into ours.
    let mut raw = Raw::connect(proxy.http());
    raw.send("GET /stream?100 HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    let memory = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
        line.split(' ').next().unwrap().parse::<usize>().unwrap() >> 10
    };
    raw.until(b"\r\n\r\n").unwrap();
    let before = memory();
    let whole = raw.rest();
    assert!(whole.len() > 100 << 20, "{}", whole.len());
    assert!(String::from_utf8_lossy(&whole[whole.len() - 100..]).to_lowercase().contains("x-count: 100"));
    assert!(memory() < before + 40, "{before} MiB, then {}", memory());
}

#[test]
fn each_fault_has_its_reason_and_costs_only_its_own_request() {
    let plugin = "allow = { http = [\"idp\"] }\nlimits = { memory = \"16MiB\", cpu = \"200ms\", time = \"2s\" }";
    let (proxy, _origin) = start(plugin);
    for (path, status, reason) in [
        ("/trap", 502, "service_trap"),
        ("/exit", 502, "service_trap"),
        ("/spin", 504, "service_timeout"),
        ("/wait?60000", 504, "service_timeout"),
        ("/eat", 502, "service_memory"),
        ("/nothing", 502, "service_answer"),
        ("/error", 502, "service_answer"),
    ] {
        let response = ask(&proxy, path);
        assert_eq!((response.status, response.reason()), (status, Some(reason)), "{path}:\n{}", proxy.log());
        assert!(!response.text().contains("as told"), "{}", response.text());
        assert!(proxy.access_line(|line| line.contains(path)).contains(reason));
        assert_eq!(ask(&proxy, "/hello").status, 200, "after {path}");
    }
    proxy.logged("the service failed");
}

#[test]
fn an_answer_that_breaks_off_is_broken_off_for_the_client_too() {
    let (proxy, _origin) = start(GRANTED);
    for path in ["/break", "/short"] {
        let mut raw = Raw::connect(proxy.http());
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let said = String::from_utf8_lossy(&raw.rest()).into_owned();
        assert!(!said.ends_with("0\r\n\r\n") && !said.contains("as told"), "{path}: {said}");
        assert_eq!(ask(&proxy, "/hello").status, 200);
    }
}

#[test]
fn others_go_on_while_one_computes_and_while_one_waits() {
    let origin = Origin::echo();
    // More time to compute than this test may take.
    let config = format!(
        "[server]\nworkers = 1\nstate = \"state\"\n{}",
        config("allow = { http = [\"idp\"] }\nlimits = { cpu = \"10s\" }", &origin.name())
    );
    let proxy = Proxy::start(&config);
    ask(&proxy, "/hello");
    let mut spinning = Raw::connect(proxy.http());
    spinning.send("GET /spin HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut waiting = Raw::connect(proxy.http());
    waiting.send("GET /wait?3000 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // One worker, and somebody else computes.
    for _ in 0..20 {
        assert_eq!(ask(&proxy, "/plain/x").status, 200);
        assert_eq!(ask(&proxy, "/hello").status, 200);
    }
    assert_eq!(waiting.response().text(), "waited\n");
    assert!(!proxy.access_log().iter().any(|line| line.contains("/spin")), "it was done before the others");
    drop(spinning);
    proxy.access_line(|line| line.contains("/spin") && line.contains("client_gone"));
}

#[test]
fn a_client_that_goes_away_ends_the_guest() {
    let (proxy, _origin) = start("allow = { http = [\"idp\"] }\nlimits = { cpu = \"10s\" }");
    let mut raw = Raw::connect(proxy.http());
    raw.send("GET /spin HTTP/1.1\r\nHost: a.test\r\n\r\n");
    drop(raw);
    proxy.access_line(|line| line.contains("/spin") && line.contains("client_gone"));
    assert_eq!(ask(&proxy, "/hello").status, 200);
}

#[test]
fn it_asks_only_the_upstreams_that_it_was_granted() {
    let (proxy, origin) = start(GRANTED);
    let text = ask(&proxy, "/ask?idp/token?x=1").text();
    assert!(text.starts_with("told 200: GET /token?x=1 HTTP/1.1") && text.to_lowercase().contains("x-asked-by: service"), "{text}");
    for url in ["other/x", "127.0.0.1/x", &origin.name()] {
        let text = ask(&proxy, &format!("/ask?{url}")).text();
        assert!(text.contains("HttpRequestDenied") || text.contains("http-request-denied"), "{url}: {text}");
    }
    assert_eq!(origin.requests().len(), 1);
    let proxy = Proxy::start(&config(GRANTED, &nobody().to_string()));
    assert!(ask(&proxy, "/ask?idp/x").text().starts_with("failed "));
}

#[test]
fn without_the_right_to_ask_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let check = |config: &str| {
        std::fs::write(dir.path().join("portcullis.toml"), proxy::complete(config)).unwrap();
        let output = proxy::run(dir.path(), &["check"]);
        (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let (well, text) = check(&config("", "127.0.0.1:1"));
    assert!(!well && text.contains("error[E031]: plugin `service` imports `wasi:http/outgoing-handler@0.2."), "{text}");
    assert!(text.contains("add: allow = { http = [\"…\"] }"), "{text}");
    let (well, text) = check(&config(GRANTED, "127.0.0.1:1"));
    assert!(well, "{text}");
    // A plugin is no service, and says what it lacks.
    let (well, text) = check(&config(GRANTED, "127.0.0.1:1").replace("guest_service", "guest_light"));
    assert!(!well && text.contains("does not export `wasi:http/incoming-handler@0.2`"), "{text}");
    // Nor is a service a plugin.
    let both = config(GRANTED, "127.0.0.1:1").replace("tls = \"off\"\n", "tls = \"off\"\nchain = [\"service\"]\n");
    let (well, text) = check(&both);
    assert!(!well && text.contains("plugin `service`"), "{text}");
}

#[test]
fn what_it_prints_is_in_the_log() {
    let (proxy, _origin) = start(GRANTED);
    assert_eq!(ask(&proxy, "/print?something").text(), "printed\n");
    proxy.logged("out: something");
    proxy.logged("err: something, without an end");
}

#[test]
fn a_component_stands_beside_other_servers_and_is_tried_again_elsewhere() {
    let origin = Origin::named("origin");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("services")).unwrap();
    std::fs::copy(tools::guest("service"), dir.path().join("services/s.wasm")).unwrap();
    let config = format!(
        "[plugin.service]\nsource = \"services/s.wasm\"\n{GRANTED}\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream]\nidp = \"{0}\"\n[upstream.app]\nservers = [\"component:service\", \"{0}\"]\nbalance = \"round-robin\"\n",
        origin.name()
    );
    let proxy = Proxy::start_in(dir, &config);
    let answers: Vec<String> = (0..8).map(|_| ask(&proxy, "/hello").text()).collect();
    let ours = answers.iter().filter(|text| *text == "hello from a component\n").count();
    assert!((1..8).contains(&ours), "{answers:?}");
}

#[test]
fn a_timeout_of_the_route_holds_for_it() {
    let (proxy, _origin) = start(GRANTED);
    let config =
        config(GRANTED, "127.0.0.1:1").replace("\"/*\" = \"service\"", "\"/*\" = { to = \"service\", timeout = { response = \"300ms\" } }");
    let quick = Proxy::start(&config);
    let begun = Instant::now();
    let response = ask(&quick, "/wait?30000");
    assert_eq!((response.status, response.reason()), (504, Some("response_timeout")));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(ask(&proxy, "/wait?10").text(), "waited\n");
}
