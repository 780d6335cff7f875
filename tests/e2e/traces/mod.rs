//! Traces: what a collector made of the official definitions is told, who decides what is traced, and that nobody waits for it.

mod auth_cache;

use crate::admin::until;
use portcullis_tests::{Origin, Proxy, Response, get_with, nobody, tools};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The collector; it ends with the test.
struct Collector {
    child: Child,
    port: u16,
    spans: Receiver<Value>,
    /// Metrics and records of logs.
    others: Receiver<Value>,
}

impl Collector {
    fn start(status: u16) -> Self {
        let python = tools::python_with("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "opentelemetry-proto");
        let script = tools::repository().join("tests/e2e/traces/collector.py");
        let mut child = Command::new(python).arg(script).arg(status.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.next().unwrap().parse().unwrap();
        let ((span, spans), (other, others)) = (channel(), channel());
        std::thread::spawn(move || {
            for line in lines {
                let told: Value = serde_json::from_str(&line).unwrap();
                let to = if told.get("signal").is_some() { &other } else { &span };
                if to.send(told).is_err() {
                    return;
                }
            }
        });
        Self { child, port, spans, others }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for a metric, or a record of a log, that fits.
    fn other(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.others.recv_timeout(left).unwrap_or_else(|_| panic!("no {what}"));
            if fits(&told) {
                return told;
            }
        }
    }

    /// Waits for as many.
    fn spans(&self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.spans.recv_timeout(Duration::from_secs(30)).expect("a span")).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `/*` through `able`, `/plain/*` without.
fn start(app: &Origin, url: &str, observe: &str, server: &str) -> Proxy {
    Proxy::start(&format!(
        r#"
[server]
workers = 1
state = "state"
{server}
[admin]
listen = "127.0.0.1:0"
[observe]
otlp = "{url}"
{observe}
[plugin.able]
source = "{}"
allow = {{ log = true, clock = true, random = true, metrics = true, tracing = true, secret = ["S"], kv = ["near"], http = ["app"] }}
[kv]
near = "memory"
[secret]
S = "s"
[site."*"]
tls = "off"
[site."*".routes]
"/*" = {{ to = "app", chain = ["able"] }}
"/plain/*" = "app"
[upstream.app]
servers = ["{}"]
"#,
        tools::guest("able").display(),
        app.name()
    ))
}

fn ask(proxy: &Proxy, path: &str, fields: &str) -> Response {
    get_with(proxy.http(), "a.test", path, fields)
}

fn named<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[test]
fn an_exchange_its_calls_and_its_request_to_the_upstream_are_one_trace() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = start(&app, &collector.url(), "sample = \"100%\"\nservice = \"edge\"", "");
    let asked = format!("Traceparent: {ASKED}\r\nTracestate: a=b\r\nX-Do: trace cache hit; pass\r\n");
    assert_eq!(ask(&proxy, "/x?token=secret", &asked).status, 200);
    let spans = collector.spans(3);
    let (server, client, call) = (named(&spans, "GET /*"), named(&spans, "upstream"), named(&spans, "able on-request"));
    for span in &spans {
        assert_eq!((&span["trace"], &span["service"]), (&"4bf92f3577b34da6a3ce929d0e0e4736".into(), &"edge".into()));
        assert!(span["ended"].as_u64() >= span["begun"].as_u64() && span["failed"] == false, "{span}");
    }
    assert_eq!((&server["parent"], &server["kind"]), (&"00f067aa0ba902b7".into(), &2.into()));
    assert_eq!((&client["parent"], &client["kind"]), (&server["span"], &3.into()));
    assert_eq!((&call["parent"], &call["kind"]), (&server["span"], &1.into()));
    let attributes = &server["attributes"];
    assert_eq!((&attributes["http.route"], &attributes["http.response.status_code"]), (&"/*".into(), &200.into()));
    assert_eq!((&attributes["url.path"], &attributes["portcullis.upstream"]), (&"/x".into(), &"app".into()));
    assert!(!format!("{spans:?}").contains("secret"), "queries are not told");
    assert_eq!(call["attributes"]["cache"], "hit");
    assert_eq!((&call["events"][0]["name"], &call["events"][0]["attributes"]["cache"]), (&"told".into(), &"hit".into()));
    assert_eq!(client["attributes"]["server.address"], app.name().as_str());
    let sent = app.requests().pop().unwrap().to_ascii_lowercase();
    let parent = format!("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", client["span"].as_str().unwrap());
    assert!(sent.contains(&parent) && sent.contains("tracestate: a=b"), "{parent} in {sent}");
}

#[test]
fn what_a_guest_asks_of_others_stands_in_the_trace() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = start(&app, &collector.url(), "sample = \"100%\"", "");
    let response = ask(&proxy, "/x", "X-Do: traceparent; send app /y\r\n");
    assert_eq!(response.status, 200, "{response:?}");
    let spans = collector.spans(2);
    let call = named(&spans, "able on-request");
    let parent = format!("00-{}-{}-01", call["trace"].as_str().unwrap(), call["span"].as_str().unwrap());
    assert!(response.text().starts_with(&parent), "{parent} in {}", response.text());
    assert!(app.requests().pop().unwrap().contains(&parent));
}

#[test]
fn who_is_not_trusted_does_not_choose_and_what_came_is_passed_on() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = start(&app, &collector.url(), "sample = \"0%\"", "");
    assert_eq!(ask(&proxy, "/plain/x", &format!("Traceparent: {ASKED}\r\nTracestate: a=b\r\n")).status, 200);
    let sent = app.requests().pop().unwrap();
    assert!(sent.contains(ASKED) && sent.contains("a=b"), "as it came: {sent}");
    assert_eq!(ask(&proxy, "/plain/x", "Traceparent: nonsense\r\nTracestate: a=b\r\n").status, 200);
    let sent = app.requests().pop().unwrap().to_ascii_lowercase();
    assert!(!sent.contains("nonsense") && !sent.contains("a=b") && sent.contains("traceparent: 00-"), "made anew: {sent}");
    let trusting = start(&app, &collector.url(), "sample = \"0%\"", "trusted-proxies = \"127.0.0.1\"");
    assert_eq!(ask(&trusting, "/plain/x", &format!("Traceparent: {ASKED}\r\n")).status, 200);
    assert_eq!(named(&collector.spans(2), "GET /plain/*")["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn without_tracing_what_came_is_passed_on() {
    let app = Origin::echo();
    let proxy = crate::plain_site(&app);
    assert_eq!(get_with(proxy.http(), "a.test", "/x", &format!("Traceparent: {ASKED}\r\nTracestate: a=b\r\n")).status, 200);
    let sent = app.requests().pop().unwrap();
    assert!(sent.contains(ASKED) && sent.contains("a=b"), "{sent}");
}

#[test]
fn a_collector_that_is_away_or_refuses_costs_spans_and_nothing_else() {
    let app = Origin::echo();
    let refusing = Collector::start(503);
    for url in [refusing.url(), format!("http://{}", nobody())] {
        let proxy = start(&app, &url, "sample = \"100%\"", "");
        assert_eq!(ask(&proxy, "/plain/x", "").status, 200);
        until(proxy.admin(), "they are dropped", |found| found.value("portcullis_spans_dropped_total", &[]) == Some(2.0));
        proxy.logged("spans are dropped");
    }
}

#[test]
fn what_waits_is_sent_before_the_end() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let mut proxy = start(&app, &collector.url(), "sample = \"100%\"", "");
    assert_eq!(ask(&proxy, "/plain/x", "").status, 200);
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(30)), Some(0));
    assert_eq!(collector.spans(2).len(), 2);
}

#[test]
fn a_reload_takes_traces_elsewhere_and_ends_them() {
    let (app, first, second) = (Origin::echo(), Collector::start(200), Collector::start(200));
    let proxy = start(&app, &first.url(), "sample = \"100%\"", "watch = false");
    assert_eq!(ask(&proxy, "/plain/first", "").status, 200);
    // Not sent yet, maybe: what was noted before is told where it belongs.
    let path = proxy.dir.path().join("portcullis.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let reload = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = portcullis_tests::proxy::run(proxy.dir.path(), &["reload"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let elsewhere = text.replace(&first.url(), &second.url());
    assert!(reload(&elsewhere).contains("[observe]: changed"));
    assert_eq!(ask(&proxy, "/plain/second", "").status, 200);
    let told = |spans: &[Value]| named(spans, "GET /plain/*")["attributes"]["url.path"].clone();
    assert_eq!((told(&first.spans(2)), told(&second.spans(2))), ("/plain/first".into(), "/plain/second".into()));
    // From now on nothing is traced, and no trace is begun for anybody.
    let without = elsewhere.replace("[observe]", "").replace(&format!("otlp = \"{}\"", second.url()), "").replace("sample = \"100%\"", "");
    assert!(reload(&without).contains("[observe]: changed"));
    assert_eq!(ask(&proxy, "/plain/third", "").status, 200);
    assert!(!app.requests().pop().unwrap().to_ascii_lowercase().contains("traceparent"));
}

/// A link that looks at bodies has one span for all pieces of a body.
#[test]
fn a_body_s_pieces_are_one_call() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = Proxy::start(&format!(
        r#"
[observe]
otlp = "{}"
sample = "100%"
[site."*"]
tls = "off"
[site."*".routes]
"/*" = {{ to = "app", chain = [{{ use = "body-rewrite", replace = {{ text = "world", with = "trace" }} }}] }}
[upstream.app]
servers = ["{}"]
"#,
        collector.url(),
        app.name()
    ));
    assert_eq!(ask(&proxy, "/x", "").status, 200);
    let spans = collector.spans(3);
    let (server, call) = (named(&spans, "GET /*"), named(&spans, "body-rewrite on-response-body"));
    assert!(call["ended"].as_u64() <= server["ended"].as_u64(), "{spans:#?}");
    assert_eq!(call["parent"], server["span"]);
}

#[test]
fn numbers_are_told_as_they_are_shown() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = start(&app, &collector.url(), "signals = [\"metrics\"]\ninterval = \"1s\"\nservice = \"edge\"", "");
    for _ in 0..3 {
        assert_eq!(ask(&proxy, "/plain/x", "").status, 200);
    }
    let of_route = |metric: &Value| {
        let points = metric["points"].as_array().unwrap().iter();
        points.filter(|point| point["attributes"]["route"] == "/plain/*").cloned().collect::<Vec<_>>()
    };
    let metric = |name: &str| collector.other(name, |told| told["name"] == name && !of_route(told).is_empty());
    let requests = metric("portcullis_requests");
    assert_eq!(
        (&requests["kind"], &requests["monotonic"], &requests["cumulative"]),
        (&"sum".into(), &true.into(), &true.into()),
        "{requests}"
    );
    let point = &of_route(&requests)[0];
    assert_eq!((&point["value"], &point["attributes"]["status"]), (&3.into(), &"2xx".into()), "{requests}");
    assert!(point["start"].as_u64() < point["time"].as_u64(), "{point}");
    let resource = &requests["resource"];
    assert_eq!((&resource["service.name"], &resource["process.pid"]), (&"edge".into(), &proxy.pid().into()), "{resource}");
    assert!(resource["service.version"].is_string() && resource["host.name"].is_string(), "{resource}");
    let took = metric("portcullis_request_duration_seconds");
    let point = &of_route(&took)[0];
    let (buckets, bounds) = (point["buckets"].as_array().unwrap(), point["bounds"].as_array().unwrap());
    assert_eq!((&took["kind"], &took["unit"], &point["count"]), (&"histogram".into(), &"s".into(), &3.into()));
    assert_eq!((buckets.len(), buckets.iter().filter_map(Value::as_u64).sum::<u64>()), (bounds.len() + 1, 3), "{point}");
    let active = collector.other("a gauge", |told| told["name"] == "portcullis_workers");
    assert_eq!((&active["kind"], &active["points"][0]["value"]), (&"gauge".into(), &1.into()));
    assert!(collector.spans.try_recv().is_err(), "no traces are wanted");
    until(proxy.admin(), "what was taken is counted", |scrape| {
        scrape.value("portcullis_metric_points_sent_total", &[]).is_some_and(|sent| sent > 0.0)
    });
}

#[test]
fn numbers_are_counted_for_the_collector_alone() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let proxy = Proxy::start(&format!(
        "[observe]\notlp = \"{}\"\nsignals = \"metrics\"\ninterval = \"1s\"\n[site.\"*\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\n",
        collector.url(),
        app.name()
    ));
    assert_eq!(ask(&proxy, "/", "").status, 200);
    collector.other("requests", |told| told["name"] == "portcullis_requests");
}

#[test]
fn lines_of_both_logs_are_told_and_the_last_ones_too() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let mut proxy = start(&app, &collector.url(), "signals = [\"logs\"]\nservice = \"edge\"", "");
    assert_eq!(ask(&proxy, "/plain/x?token=secret&a=1", "").status, 200);
    let line = collector.other("an access line", |told| told["event"] == "portcullis.exchange");
    let attributes = &line["attributes"];
    assert_eq!((&attributes["http.response.status_code"], &attributes["http.route"]), (&200.into(), &"/plain/*".into()), "{line}");
    assert_eq!((&attributes["url.query"], &attributes["url.path"]), (&"token=***&a=1".into(), &"/plain/x".into()), "{line}");
    assert!(attributes["http.server.request.duration"].is_f64() && attributes.get("timestamp").is_none(), "{line}");
    assert_eq!((&line["severity"], &line["number"], &line["resource"]["service.name"]), (&"INFO".into(), &9.into(), &"edge".into()));
    assert!(line["time"].as_u64().unwrap() > 1_700_000_000_000_000_000);
    assert_eq!(ask(&proxy, "/x", "X-Do: log info hello from a guest\r\n").status, 200);
    let said = collector.other("what a guest said", |told| told["body"].as_str().is_some_and(|body| body.contains("hello from a guest")));
    assert_eq!((&said["severity"], &said["event"]), (&"INFO".into(), &"".into()), "{said}");
    // No connection is left in the pool.
    assert_eq!(ask(&proxy, "/close", "").status, 200);
    drop(app);
    assert_eq!(ask(&proxy, "/plain/y", "").status, 502);
    let warning = collector.other("a warning", |told| told["severity"] == "WARN");
    assert!(warning["body"].as_str().unwrap().starts_with("connect_refused") && warning["number"] == 13, "{warning}");
    assert!(
        warning["attributes"]["id"].is_string() && warning["attributes"]["code.namespace"].as_str().unwrap().starts_with("portcullis::"),
        "{warning}"
    );
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(20)), Some(0));
    collector.other("the last lines", |told| told["body"].as_str().is_some_and(|body| body.starts_with("stopping")));
}

#[test]
fn a_reload_changes_what_the_collector_is_told() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let text = |observe: &str| {
        format!(
            "[server]\nworkers = 1\nstate = \"state\"\nwatch = false\n[admin]\nlisten = \"127.0.0.1:0\"\n{observe}[site.\"*\"]\ntls = \"off\"\n\
             routes = {{ \"/*\" = \"app\" }}\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[upstream.app]\nservers = [\"{}\"]\n",
            app.name()
        )
    };
    let observe = format!("[observe]\notlp = \"{}\"\nsignals = \"logs\"\n", collector.url());
    let proxy = Proxy::start(&text(""));
    let turn = |observe: &str| {
        std::fs::write(proxy.dir.path().join("portcullis.toml"), text(observe)).unwrap();
        let output = portcullis_tests::proxy::run(proxy.dir.path(), &["reload", "portcullis.toml"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    assert_eq!(ask(&proxy, "/before", "").status, 200);
    turn(&observe);
    assert_eq!(ask(&proxy, "/during", "").status, 200);
    let line = collector.other("an access line", |told| told["event"] == "portcullis.exchange");
    assert_eq!(line["attributes"]["url.path"], "/during");
    turn("");
    assert_eq!(ask(&proxy, "/after", "").status, 200);
    proxy.access_line(|line| line.contains("/after"));
    let later: Vec<_> = collector.others.try_iter().filter(|told| told["attributes"]["url.path"] == "/after").collect();
    assert!(later.is_empty(), "{later:?}");
}
