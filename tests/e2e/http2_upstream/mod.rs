//! HTTP/2 to upstreams: against nginx in the clear and over TLS, and against a server that does what one must reckon with.

use portcullis_tests::pki::Authority;
use portcullis_tests::{Proxy, Raw, Response, Server, get, get_with, tools};
use std::path::Path;
use std::thread;

/// Everything to these servers.
fn proxy(upstream: &str) -> Proxy {
    Proxy::start(&config("", upstream))
}

fn config(route: &str, upstream: &str) -> String {
    format!(
        "[server]\nworkers = 1\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ to = \"app\"{route} }} }}\n[upstream.app]\n{upstream}\n"
    )
}

/// See `origin.py`.
pub fn origin(streams: u32) -> Server {
    let python = tools::python_with("h2", "h2");
    let folder = tools::repository().join("tests/e2e/http2_upstream");
    let arguments = |address: std::net::SocketAddr| {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        vec!["origin.py".to_owned(), ip, port, streams.to_string()]
    };
    Server::program(python.to_str().unwrap(), &folder, arguments)
}

/// The number in what the origin tells of itself. The kit's look whether it listens is a connection too.
fn count(proxy: &Proxy, name: &str) -> u32 {
    let said = get(proxy.http(), "a.test", "/counts").text();
    let found = said.split(' ').find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
    found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name}: {said}"))
}

/// Waits until the origin has told of so many.
fn counted(proxy: &Proxy, name: &str, many: u32) {
    crate::config_reload::until(name, || (count(proxy, name) >= many).then_some(()));
}

fn nginx(listen: &str, more: &str) -> Server {
    Server::nginx(|address, folder| {
        std::fs::write(Path::new(folder).join("big"), vec![b'x'; 3_000_000]).unwrap();
        format!(
            "server {{ listen {address} {listen}; client_max_body_size 20m; {more}\n\
             location /seen {{ return 200 \"$server_protocol $connection_requests $host $scheme\"; }}\n\
             location /big {{ root {folder}; }}\n\
             location /upload {{ proxy_pass http://unix:{folder}/inner.sock; }} }}\n\
             server {{ listen unix:{folder}/inner.sock; client_max_body_size 20m; location / {{ return 200 \"$content_length\"; }} }}"
        )
    })
}

fn post(proxy: &Proxy, path: &str, body: &str) -> Response {
    Raw::connect(proxy.http())
        .send(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        .response()
}

#[test]
fn requests_share_a_connection_to_nginx_in_the_clear() {
    let nginx = nginx("http2", "");
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", nginx.address));
    let said: Vec<String> = (0..3).map(|_| get(proxy.http(), "a.test", "/seen").text()).collect();
    assert_eq!(said, ["HTTP/2.0 1 a.test http", "HTTP/2.0 2 a.test http", "HTTP/2.0 3 a.test http"]);
    let big = get(proxy.http(), "a.test", "/big");
    assert_eq!((big.body.len(), big.header("content-length")), (3_000_000, Some("3000000")));
    let upload =
        format!("POST /upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5000000\r\nConnection: close\r\n\r\n{}", "u".repeat(5_000_000));
    assert_eq!(Raw::connect(proxy.http()).try_send(upload).response().text(), "5000000");
    let head = Raw::connect(proxy.http()).send("HEAD /big HTTP/1.1\r\nHost: a.test\r\n\r\n").response_to("HEAD");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("3000000"), 0));
    proxy.access_line(|line| line.contains("/big"));
}

#[test]
fn over_tls_the_server_chooses_or_must() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(dir.path(), "ca");
    ca.issue(dir.path(), "server", &["127.0.0.1"]);
    let papers = format!("ssl_certificate {0}/server.pem; ssl_certificate_key {0}/server.key;", dir.path().display());
    let (new, old) = (nginx("ssl http2", &papers), nginx("ssl", &papers));
    let tls = format!("tls = {{ ca = \"{}/ca.pem\" }}", dir.path().display());
    let seen = |upstream: String| get(proxy(&upstream).http(), "a.test", "/seen");

    assert_eq!(seen(format!("servers = [\"{}\"]\nprotocol = \"auto\"\n{tls}", new.address)).text(), "HTTP/2.0 1 a.test https");
    assert_eq!(seen(format!("servers = [\"{}\"]\nprotocol = \"auto\"\n{tls}", old.address)).text(), "HTTP/1.1 1 a.test https");
    assert_eq!(seen(format!("servers = [\"https://{}\"]\n{tls}", new.address)).text(), "HTTP/1.1 1 a.test https", "unless asked for");
    assert_eq!(seen(format!("servers = [\"h2://{}\"]\n{tls}", new.address)).text(), "HTTP/2.0 1 a.test https");
    let refused = seen(format!("servers = [\"h2://{}\"]\n{tls}", old.address));
    assert!(matches!(refused.reason(), Some("origin_tls" | "origin_tls_alert")), "{refused:?}");
    // Both in one upstream, turn by turn.
    let both =
        proxy(&format!("servers = [\"{}\", \"{}\"]\nbalance = \"round-robin\"\nprotocol = \"auto\"\n{tls}", new.address, old.address));
    let mut said: Vec<String> = (0..4).map(|_| get(both.http(), "a.test", "/seen").text()).collect();
    said.sort();
    let want = ["HTTP/1.1 1 a.test https", "HTTP/1.1 2 a.test https", "HTTP/2.0 1 a.test https", "HTTP/2.0 2 a.test https"];
    assert_eq!(said, want, "connections are kept");
    for spoken in ["h2", "http/1.1"] {
        both.access_line(|line| line.contains(&format!(" upstream_protocol={spoken} ")));
    }
}

#[test]
fn the_request_arrives_as_http2_has_it() {
    let origin = origin(100);
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", origin.address));
    let request = "POST /echo?a=1 HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, x-own, te\r\nX-Own: 1\r\nTE: trailers\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
    let said = Raw::connect(proxy.http()).send(request).response().text();
    let lines: Vec<&str> = said.lines().collect();
    for line in [":method: POST", ":authority: a.test", ":path: /echo?a=1", ":scheme: http", "te: trailers", "trailers: x-sum=5", "hello"] {
        assert!(lines.contains(&line), "{line}: {said}");
    }
    for gone in ["connection:", "x-own:", "transfer-encoding:", "host:", "keep-alive:"] {
        assert!(!lines.iter().any(|line| line.starts_with(gone)), "{gone} {said}");
    }
    let response = get_with(proxy.http(), "a.test", "/trailers", "TE: trailers\r\nConnection: te\r\n");
    assert_eq!((response.text().as_str(), &*response.trailers), ("body", &[("x-sum".to_owned(), "4".to_owned())][..]));
    let mut client = Raw::connect(proxy.http());
    let hints = client.send("GET /interim HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!((hints.status, hints.header("link")), (103, Some("</a>")));
    assert_eq!(client.response().status, 200);
}

#[test]
fn many_at_once_on_one_connection_and_on_more_where_it_is_full() {
    let wide = origin(100);
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", wide.address));
    // Answered only when both are there.
    let both = thread::scope(|scope| {
        let ask = || scope.spawn(|| get(proxy.http(), "a.test", "/hold").text());
        [ask(), ask()].map(|one| one.join().unwrap())
    });
    assert_eq!(both[0].split('/').next(), both[1].split('/').next(), "{both:?}");
    assert_eq!(count(&proxy, "connections"), 2, "the kit's own, and one");

    let narrow = origin(1);
    let proxy = self::proxy(&format!("servers = [\"h2c://{}\"]", narrow.address));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    thread::scope(|scope| {
        let held = scope.spawn(|| get_with(proxy.http(), "a.test", "/stall", ""));
        // While that one waits, its connection is full.
        counted(&proxy, "connections", 3);
        drop(narrow);
        assert_eq!(held.join().unwrap().status, 502);
    });
}

#[test]
fn what_was_not_looked_at_is_not_lost() {
    let server = origin(100);
    let proxy = Proxy::start(&config(", retry = 1", &format!("servers = [\"h2c://{}\"]", server.address)));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    // Also what is not idempotent, with its body.
    let refused = post(&proxy, "/refuse", "hello");
    assert_eq!(refused.status, 200, "{}", proxy.log());
    let away = thread::scope(|scope| {
        let held = scope.spawn(|| get(proxy.http(), "a.test", "/held"));
        counted(&proxy, "held", 1);
        let away = post(&proxy, "/away", "hello");
        let held = held.join().unwrap();
        assert_eq!((held.status, held.header("x-held")), (200, Some("yes")), "what was begun goes on");
        away
    });
    assert_eq!(away.status, 200, "{}", proxy.log());
    // The server left after its answer; nobody notices.
    for _ in 0..5 {
        assert_eq!(get(proxy.http(), "a.test", "/leave").status, 200);
        assert_eq!(post(&proxy, "/name", "x").status, 200);
    }
    assert!(!proxy.log().contains("fails again and again"), "none of that is a failure");
    let response = get(proxy.http(), "a.test", "/refuse-always");
    assert_eq!((response.status, response.reason()), (502, Some("origin_refused")));
}

/// nginx ends a connection after so many requests, with GOAWAY, whatever else is on it by then.
#[test]
fn nginx_leaves_every_few_requests_and_nobody_notices() {
    let nginx = nginx("http2", "keepalive_requests 7; location /post { return 200 ok; }");
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", nginx.address));
    let ask = |number: u32| match number % 3 {
        0 => post(&proxy, "/post", "hello").status,
        _ => get(proxy.http(), "a.test", "/seen").status,
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..30).map(ask).collect::<Vec<_>>())).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    let failed = statuses.iter().filter(|status| **status != 200).count();
    assert_eq!((statuses.len(), failed), (240, 0), "{}", proxy.log());
}

#[test]
fn a_connection_that_ends_is_no_reason_to_fail_for_what_can_be_asked_again() {
    let server = origin(100);
    let proxy = Proxy::start(&config(", retry = 1", &format!("servers = [\"h2c://{}\"]", server.address)));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    assert_eq!(get(proxy.http(), "a.test", "/hang-up").status, 200);
    let response = get(proxy.http(), "a.test", "/hang-up-always");
    assert_eq!((response.status, response.reason()), (502, Some("origin_reset")));
    assert_eq!(post(&proxy, "/hang-up-always", "x").status, 502);
}

#[test]
fn what_servers_get_wrong_ends_the_exchange_only() {
    let server = origin(100);
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", server.address));
    for (path, reason) in [("/reset", "origin_reset"), ("/garbage", "bad_response")] {
        let response = get(proxy.http(), "a.test", path);
        assert_eq!((response.status, response.reason()), (502, Some(reason)), "{path}: {}", proxy.log());
    }
    for path in ["/cut", "/short"] {
        let mut client = Raw::connect(proxy.http());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert!(client.try_response_to("GET").is_none(), "{path} is not passed off as whole");
    }
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
}

#[test]
fn both_bodies_at_once_and_answers_before_the_end() {
    let server = origin(100);
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]", server.address));
    let mut client = Raw::connect(proxy.http());
    client.send("POST /chat HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert!(String::from_utf8(client.until(b"\r\n\r\n").unwrap()).unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.exactly(10).unwrap(), b"5\r\nHELLO\r\n");
    assert_eq!(client.send("3\r\nyou\r\n").exactly(8).unwrap(), b"3\r\nYOU\r\n");
    assert_eq!(client.send("0\r\n\r\n").exactly(5).unwrap(), b"0\r\n\r\n");
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 200, "and the connection goes on");

    let mut client = Raw::connect(proxy.http());
    let early = client.send("POST /early HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nsome").response();
    assert_eq!((early.status, early.text().as_str()), (413, "early"));
    assert_eq!(post(&proxy, "/length", &"u".repeat(1_000_000)).text(), "1000000", "beyond all windows");
}

#[test]
fn who_leaves_is_told_and_who_is_slow_is_given_up() {
    let server = origin(100);
    let proxy = Proxy::start(&config(", timeout = { response = \"2s\" }", &format!("servers = [\"h2c://{}\"]", server.address)));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    let response = get(proxy.http(), "a.test", "/stall");
    assert_eq!((response.status, response.reason()), (504, Some("response_timeout")));
    counted(&proxy, "cancelled", 1);

    let proxy = self::proxy(&format!("servers = [\"h2c://{}\"]", server.address));
    let mut client = Raw::connect(proxy.http());
    client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // Who leaves before that is never heard of there.
    counted(&proxy, "held", 1);
    drop(client);
    counted(&proxy, "cancelled", 2);
}

#[test]
fn a_server_that_is_silent_is_asked_whether_it_lives() {
    let server = origin(100);
    let limits = "[limits]\nh2-ping-interval = \"1s\"\nh2-ping-timeout = \"2s\"";
    let proxy = proxy(&format!("servers = [\"h2c://{}\"]\n{limits}", server.address));
    // Long before the minute that an answer may take.
    let response = get(proxy.http(), "a.test", "/freeze");
    assert_eq!((response.status, response.reason()), (502, Some("origin_reset")));
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200, "others are on a new connection");
}

#[test]
fn health_is_asked_for_over_http2_too() {
    let server = nginx("http2", "location /healthz { return 204; } location /sick { return 500; }");
    let upstream = |path: &str| {
        format!(
            "servers = [\"h2c://{}\"]\nhealth = {{ get = \"{path}\", every = \"100ms\", timeout = \"5s\", down = 1, up = 1 }}",
            server.address
        )
    };
    let sick = proxy(&upstream("/sick"));
    sick.logged(&format!("server {} is down: it answered 500", server.address));
    let well = proxy(&upstream("/healthz"));
    assert_eq!(get(well.http(), "a.test", "/seen").status, 200);
    assert!(!well.log().contains("is down"), "{}", well.log());
}
