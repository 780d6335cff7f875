//! The author's whole way, at its end: what a filter that asks a service and remembers is seen to do, in metrics and in traces.

use super::{Collector, named};
use crate::admin::until;
use portcullis_tests::{Origin, Proxy, get_with, tools};
use serde_json::Value;

/// `examples/auth-cache` as it stands, with a collector and the page for metrics.
fn start(app: &Origin, auth: &Origin, collector: &Collector) -> Proxy {
    let folder = tools::repository().join("examples/auth-cache");
    let plugin = tools::build_wasm(&folder, &tools::repository().join("target/examples")).join("auth_cache.wasm");
    let config = std::fs::read_to_string(folder.join("portcullis.toml")).unwrap();
    let config = config
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &app.name())
        .replace("127.0.0.1:9001", &auth.name())
        .replace("target/wasm32-wasip2/release/auth_cache.wasm", plugin.to_str().unwrap());
    let observe = format!("[observe]\notlp = \"{}\"\nsample = \"100%\"\n", collector.url());
    Proxy::start(&format!("[server]\nstate = \"state\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n{observe}{config}"))
}

fn is_let_in(proxy: &Proxy) {
    let answer = get_with(proxy.http(), "localhost", "/x", "Authorization: Bearer sesame\r\n");
    assert!(answer.status == 200 && answer.text().to_lowercase().contains("x-user: alice"), "{answer:?}");
}

/// The plugin's span among those of an exchange, which all belong together.
fn call(spans: &[Value]) -> &Value {
    let (server, call) = (named(spans, "GET /*"), named(spans, "auth-cache on-request"));
    assert_eq!((&call["parent"], &call["trace"], &call["kind"]), (&server["span"], &server["trace"], &1.into()), "{spans:#?}");
    assert_eq!((&call["attributes"]["portcullis.link"], &call["failed"]), (&"auth-cache".into(), &false.into()));
    assert_eq!(call["attributes"]["portcullis.phase"], "on-request");
    assert!(server["begun"].as_u64() <= call["begun"].as_u64() && call["ended"].as_u64() <= server["ended"].as_u64(), "{spans:#?}");
    call
}

#[test]
fn a_filter_that_asks_and_remembers_is_seen_in_metrics_and_traces() {
    let (app, collector) = (Origin::echo(), Collector::start(200));
    let auth = Origin::says("HTTP/1.1 204 No Content\r\nX-User: alice\r\nConnection: close\r\n\r\n");
    let proxy = start(&app, &auth, &collector);
    is_let_in(&proxy);
    let spans = collector.spans(3);
    let asked = call(&spans);
    assert_eq!(asked["attributes"]["auth_cache"], "miss");
    // The service learns where it stands: within the plugin's call, as the app does within the exchange.
    let parent = |span: &Value| format!("traceparent: 00-{}-{}-01", span["trace"].as_str().unwrap(), span["span"].as_str().unwrap());
    let (check, sent) = (auth.requests().pop().unwrap().to_lowercase(), app.requests().pop().unwrap().to_lowercase());
    assert!(check.starts_with("get /check ") && check.contains(&parent(asked)), "{} in {check}", parent(asked));
    assert!(sent.contains(&parent(named(&spans, "upstream"))), "{sent}");
    assert!(!format!("{spans:?}").contains("sesame"), "credentials are not for traces");
    // Within half a minute nobody is asked again.
    is_let_in(&proxy);
    let spans = collector.spans(3);
    assert_eq!((&call(&spans)["attributes"]["auth_cache"], auth.requests().len()), (&"hit".into(), 1));
    until(proxy.admin(), "what was asked and remembered is counted", |scrape| {
        let counted = |result| scrape.value("portcullis_plugin_auth_cache_total", &[("plugin", "auth-cache"), ("result", result)]);
        (counted("miss"), counted("hit")) == (Some(1.0), Some(1.0))
    });
}
