//! `rate-limit`, by this process and by Redis: a limit holds for all workers and all proxies that share a store, and costs nobody an answer
//! when the store is away.

use super::{chained, refused, said, start};
use crate::tcp::redis_cli;
use portcullis_tests::{Origin, Proxy, Response, Server, get, get_with, nobody, proxy};
use std::time::{Duration, Instant};

/// How many of `count` requests are let through, on connections of their own and several at once.
fn admitted(proxies: &[&Proxy], count: usize) -> usize {
    let one = |thread: usize| {
        let ask = |n: usize| get(proxies[(thread + n) % proxies.len()].http(), "a.test", "/x");
        (0..count / 4).map(ask).filter(|response| response.status == 200).count()
    };
    std::thread::scope(|scope| {
        (0..4).map(|thread| scope.spawn(move || one(thread))).collect::<Vec<_>>().into_iter().map(|each| each.join().unwrap()).sum()
    })
}

fn ask(proxy: &Proxy, path: &str, fields: &str) -> Response {
    get_with(proxy.http(), "a.test", path, fields)
}

#[test]
fn a_limit_holds_for_all_workers_together() {
    let app = Origin::echo();
    let proxy = start(&app, "{ use = \"rate-limit\", rate = \"20/h\" }", "");
    assert_eq!(admitted(&[&proxy], 100), 20);
    let response = get(proxy.http(), "a.test", "/x");
    assert_eq!((response.status, response.text().as_str()), (429, "too many requests\n"));
    let after: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((170..=180).contains(&after), "one comes back every three minutes: {after}");
    assert_eq!(response.header("ratelimit-policy"), Some(r#""default";q=20;w=3600"#));
    let full: u64 = response.header("ratelimit").and_then(|state| state.strip_prefix(r#""default";r=0;t="#)).unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&full), "{response:?}");
    proxy.access_line(|line| line.contains(" 429 ") && line.contains("rate-limit"));
    assert_eq!(app.requests().len(), 20);
}

#[test]
fn what_is_spent_comes_back() {
    let app = Origin::echo();
    let proxy = start(&app, "{ use = \"rate-limit\", rate = \"5/s\", burst = 1 }", "");
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    let deadline = Instant::now() + Duration::from_secs(20);
    while get(proxy.http(), "a.test", "/").status != 200 {
        assert!(Instant::now() < deadline);
    }
}

/// `limit = …` on the site and on a route, each counting for itself; and what `explain` says of it.
#[test]
fn the_short_form_is_a_link_of_its_own() {
    let app = Origin::echo();
    let config = format!(
        r#"
[site."a.test"]
tls   = "off"
limit = {{ rate = "8/h", fields = "always" }}
[site."a.test".routes]
"/*"     = "app"
"/in/*"  = {{ to = "app", limit = "2/h" }}
"/out/*" = {{ to = "app", without = "rate-limit", limit = {{ rate = "1/h", key = "header:x-key" }} }}
[site."b.test"]
tls    = "off"
limit  = {{ rate = "8/h", fields = "always" }}
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
        app.name()
    );
    let proxy = Proxy::start(&config);
    let statuses = |path: &str, fields: &str, times: usize| (0..times).map(|_| ask(&proxy, path, fields).status).collect::<Vec<_>>();
    assert_eq!(statuses("/in/x", "", 3), [200, 200, 429]);
    let response = ask(&proxy, "/x", "");
    assert!(response.status == 200 && response.header("ratelimit").unwrap().starts_with(r#""default";r=4;t="#), "{response:?}");
    assert_eq!(statuses("/x", "", 5), [200, 200, 200, 200, 429]);
    assert_eq!(get(proxy.http(), "b.test", "/x").status, 200, "another site's");
    assert_eq!(statuses("/out/x", "X-Key: a\r\n", 2), [200, 429]);
    assert_eq!(statuses("/out/x", "X-Key: b\r\n", 2), [200, 429]);
    let (text, _) = said(&config, &["explain", "GET", "http://a.test/in/x"]);
    assert!(
        text.contains(r#"1. rate-limit  {"rate":"8/h","fields":"always","key":["client.ip","site"]}  (may use log, metrics, kv)"#),
        "{text}"
    );
    assert!(text.contains(r#"2. rate-limit  {"rate":"2/h","key":["client.ip","site","route"]}"#) && text.contains("(route)"), "{text}");
}

fn shared(url: &str) -> String {
    format!("[kv.shared]\nstore = \"{url}\"\ntimeout = \"3s\"\n")
}

#[test]
fn two_proxies_share_one_limit_in_redis() {
    let (app, redis) = (Origin::echo(), Server::redis(None));
    let tables = shared(&format!("redis://{}/0", redis.name()));
    let chain = "{ use = \"rate-limit\", rate = \"40/h\", burst = 30, store = \"shared\" }";
    let (one, other) = (start(&app, chain, &tables), start(&app, chain, &tables));
    assert_eq!(admitted(&[&one, &other], 120), 30);
    let keys = redis_cli(redis.address, &["keys", "*"]);
    assert_eq!(keys.trim(), "portcullis:shared:default|40/h|30|client.ip,|127.0.0.1,");
    let left: i64 = redis_cli(redis.address, &["pttl", keys.trim()]).trim().parse().unwrap();
    assert!((2_690_000..=2_700_000).contains(&left), "it is forgotten when the bucket is full: {left}");
}

#[test]
fn a_redis_that_is_away_costs_nobody_an_answer() {
    let (app, address) = (Origin::echo(), nobody());
    let chain = "{ use = \"rate-limit\", rate = \"3/h\", store = \"shared\" }";
    let tables = format!("{}[admin]\nlisten = \"127.0.0.1:0\"\n", shared(&format!("redis://{address}/0")));
    let proxy = start(&app, chain, &tables);
    let statuses = |times: usize| (0..times).map(|_| get(proxy.http(), "a.test", "/").status).collect::<Vec<_>>();
    assert_eq!(statuses(5), [200, 200, 200, 429, 429], "this process counts");
    let line = proxy.logged("this proxy counts by itself");
    assert!(line.contains("WARN") && line.contains("rate-limit") && line.contains("kv `shared`"), "{line}");
    let numbers = get(proxy.admin(), "localhost", "/metrics").text();
    for (name, count) in [("fallback", 5.0), ("refused", 2.0)] {
        let counted = numbers.lines().find(|line| line.starts_with(&format!("portcullis_plugin_{name}_total{{")));
        let counted = counted.unwrap_or_else(|| panic!("no {name} in {numbers}"));
        let value: f64 = counted.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(value == count && counted.contains("plugin=\"rate-limit\""), "{counted}");
    }
    let redis = Server::redis_at(address, None);
    let deadline = Instant::now() + Duration::from_secs(30);
    while get(proxy.http(), "a.test", "/").status != 200 {
        assert!(Instant::now() < deadline, "Redis counts from the beginning once it is there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(statuses(3), [200, 200, 429]);
    drop(redis);
    assert!(statuses(6).iter().all(|status| [200, 429].contains(status)), "never an error");
    assert_eq!(proxy.log().matches("this proxy counts by itself").count(), 1, "{}", proxy.log());
}

/// A server that takes connections and says nothing.
#[test]
fn a_redis_that_hangs_is_waited_for_once() {
    let app = Origin::echo();
    let hung = Origin::serve(|stream, _| drop(std::io::Read::read_to_end(stream, &mut Vec::new())));
    let tables = format!("[kv.shared]\nstore = \"redis://{}/0\"\ntimeout = \"4s\"\n", hung.name());
    let proxy = start(&app, "{ use = \"rate-limit\", rate = \"3/h\", store = \"shared\" }", &tables);
    let begun = Instant::now();
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    assert!(begun.elapsed() > Duration::from_secs(3), "longer than plugins usually have");
    let begun = Instant::now();
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    assert!(begun.elapsed() < Duration::from_millis(3500), "it is left alone: {:?}", begun.elapsed());
}

#[test]
fn mistakes_point_into_the_link() {
    let app = Origin::echo();
    let text = refused(&app, "{ use = \"rate-limit\", rate = \"fast\" }", "");
    assert!(text.contains("E032") && text.contains("a rate is a number, `/`") && text.contains("portcullis.toml:"), "{text}");
    let text = refused(&app, "{ use = \"rate-limit\", rate = \"1/s\", store = \"shard\" }", "[kv]\nshared = \"memory\"\n");
    assert!(text.contains("E012") && text.contains("did you mean `shared`?"), "{text}");
    let (text, content) =
        said(&chained(&app, "{ use = \"rate-limit\", rate = \"1/s\", store = \"a\" }", "[kv]\na = \"memory\"\n"), &["check"]);
    assert!(content && !text.contains("E060"), "what a link names is used: {text}");
}

#[test]
fn what_it_may_do_is_shown() {
    let output = proxy::run(std::path::Path::new("."), &["plugin", "inspect", "rate-limit"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("granted, being bundled: a store of this process, and those that its settings name"), "{text}");
}
