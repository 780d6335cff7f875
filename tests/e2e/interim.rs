//! What comes ahead of the response (RFC 9110, section 15.2), and events that come one by one: both must reach the client when they are
//! said, not when the response ends.

use crate::plain_site;
use crate::tls::certificates;
use portcullis_tests::{Origin, Proxy, Raw, curl, origin, tools};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\n";

/// Says `first`, and `then` once it is told to.
fn in_two(first: String, then: &'static str) -> (Origin, Sender<()>) {
    let (go, told) = channel();
    let told = Mutex::new(told);
    let origin = Origin::serve(move |stream, _| {
        while origin::read_head(stream).is_some() {
            stream.write_all(first.as_bytes()).unwrap();
            if told.lock().unwrap().recv().is_err() || stream.write_all(then.as_bytes()).is_err() {
                return;
            }
        }
    });
    (origin, go)
}

#[test]
fn early_hints_reach_a_client_before_the_response() {
    let first = format!("HTTP/1.1 100 Continue\r\n\r\n{HINTS}HTTP/1.1 102 Processing\r\n\r\n");
    let (origin, go) = in_two(first, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        // 100 is not for the client, which did not ask.
        let hints = client.response();
        assert_eq!((hints.status, hints.header("link")), (103, Some("</style.css>; rel=preload")));
        assert_eq!(hints.headers.len(), 1, "what is for one connection only is not passed on: {hints:?}");
        assert_eq!(client.response().status, 102);
        go.send(()).unwrap();
        let response = client.response();
        assert_eq!((response.status, &*response.text()), (200, "ok"));
    }
    // One that has never heard of them.
    let mut old = Raw::connect(proxy.http());
    old.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    go.send(()).unwrap();
    assert_eq!(old.response().status, 200);
}

#[test]
fn a_client_that_waits_to_send_is_told_once_and_hears_the_hints() {
    let (origin, go) = in_two(format!("HTTP/1.1 100 Continue\r\n\r\n{HINTS}"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("abc");
    assert_eq!(client.response().status, 103);
    go.send(()).unwrap();
    assert_eq!(client.response().status, 200);
}

#[test]
fn an_origin_that_never_comes_to_the_point_is_cut_off() {
    let (origin, _go) = in_two("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20), "");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let last = std::iter::repeat_with(|| client.response()).find(|response| response.status != 103).unwrap();
    assert_eq!((last.status, last.reason()), (502, Some("bad_response")));
}

/// The site over TLS, and what curl needs to get there.
fn secure(upstream: &str) -> (Proxy, [String; 4]) {
    let site = "[site.\"a.test\"]\ntls = { cert = \"a.test.pem\", key = \"a.test.key\" }\nroutes = { \"/*\" = \"app\" }";
    let proxy = Proxy::start_in(certificates(&["a.test"]), &format!("{site}\n[upstream.app]\nservers = [\"{upstream}\"]\n"));
    let ca = proxy.dir.path().join("a.test.pem").display().to_string();
    let arguments = ["--cacert".into(), ca, "--resolve".into(), format!("a.test:{}:127.0.0.1", proxy.https().port())];
    (proxy, arguments)
}

#[test]
fn over_http_2_too_from_either_kind_of_server() {
    let (origin, go) = in_two(HINTS.into(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    go.send(()).unwrap();
    let two = crate::http2_upstream::origin(10);
    for (upstream, path) in [(origin.name(), "/"), (format!("h2c://{}", two.address), "/interim")] {
        let (proxy, trust) = secure(&upstream);
        let url = format!("https://a.test:{}{path}", proxy.https().port());
        let mut arguments: Vec<&str> = trust.iter().map(String::as_str).collect();
        arguments.extend(["--http2", "-i", &url]);
        let said = curl(&arguments).to_lowercase();
        let (hints, response) = said.split_once("\r\n\r\n").unwrap();
        assert!(hints.starts_with("http/2 103") && hints.contains("\r\nlink: </") && !hints.contains("hop"), "{said}");
        assert!(response.starts_with("http/2 200"), "{said}");
    }
}

#[test]
fn server_sent_events_come_one_by_one() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    for version in ["--http1.1", "--http2"] {
        let (origin, go) = in_two(format!("{head}d\r\ndata: first\n\n\r\n"), "e\r\ndata: second\n\n\r\n0\r\n\r\n");
        let (proxy, trust) = secure(&origin.name());
        let url = format!("https://a.test:{}/", proxy.https().port());
        let mut curl = Command::new(tools::need("curl", "curl"));
        curl.args(["-sSN", "--max-time", "60", version]).args(&trust).arg(url).stdout(Stdio::piped());
        let mut curl = curl.spawn().unwrap();
        let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
        // The second is not said before the first has been heard.
        assert_eq!(lines.next().unwrap().unwrap(), "data: first", "{version}");
        go.send(()).unwrap();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(rest, ["", "data: second", ""], "{version}");
        assert!(curl.wait().unwrap().success());
    }
}
