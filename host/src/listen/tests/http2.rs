//! HTTP/2, with the `h2` crate's client and with frames by hand.

use super::kit::run;
use super::tls::TlsServer;
use crate::config::{Limits, SiteName};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio_rustls::client::TlsStream;

struct Client {
    send: SendRequest<Bytes>,
    ping: h2::PingPong,
    connection: JoinHandle<Result<(), h2::Error>>,
}

fn server(limits: Limits) -> TlsServer {
    TlsServer::start(&[SiteName::Exact("localhost".into())], limits)
}

async fn stream(server: &TlsServer) -> TlsStream<TcpStream> {
    let stream = server.connect("localhost", &["h2", "http/1.1"]).await.expect("trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

async fn connect(server: &TlsServer) -> Client {
    // Larger than a stream's window, so that one stream that takes nothing does not hold up the others.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let (send, mut connection) = builder.handshake(stream(server).await).await.expect("a connection");
    let ping = connection.ping_pong().expect("ours to take");
    Client { send: send.ready().await.expect("ready"), ping, connection: spawn_local(connection) }
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("https://localhost{path}")).body(()).expect("a request")
}

impl Client {
    async fn start(&mut self, request: Request<()>) -> ResponseFuture {
        self.send.clone().ready().await.expect("ready").send_request(request, true).expect("sent").0
    }

    async fn fetch(&mut self, request: Request<()>) -> Result<Response<String>, h2::Error> {
        let (head, body) = self.start(request).await.await?.into_parts();
        Ok(Response::from_parts(head, text(body).await?.0))
    }
}

async fn text(mut body: RecvStream) -> Result<(String, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len()).expect("ours");
        all.extend_from_slice(&piece);
    }
    Ok((String::from_utf8(all).expect("text"), body.trailers().await?))
}

#[test]
fn requests_arrive_as_over_http_1_1() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        let mut request = get("/about?a=b");
        request.headers_mut().append("cookie", "a=1".parse().expect("a value"));
        request.headers_mut().append("cookie", "b=2".parse().expect("a value"));
        let response = client.fetch(request).await.expect("answered");
        assert!(response.headers().contains_key("date"));
        let tls = "tls=Some((\"1.3\", Some(\"localhost\"), true))";
        let want = format!("GET Some(\"localhost\") /about?a=b HTTP/2.0 host=None cookies=[\"a=1; b=2\"] {tls}");
        assert_eq!(response.body(), &want);
    });
}

#[test]
fn framing_of_responses() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        let table = [
            (Method::GET, "/hello", 200, Some("5"), "hello"),
            (Method::HEAD, "/hello", 200, Some("5"), ""),
            (Method::HEAD, "/stream", 200, None, ""),
            (Method::GET, "/stream", 200, None, "onetwo"),
            (Method::GET, "/status?204", 204, None, ""),
            (Method::GET, "/status?304", 304, Some("7"), ""),
            (Method::GET, "/status?200", 200, Some("11"), "not for all"),
        ];
        for (method, path, status, length, body) in table {
            let mut request = get(path);
            *request.method_mut() = method.clone();
            let response = client.fetch(request).await.expect("answered");
            let found = response.headers().get("content-length").map(|value| value.to_str().expect("text"));
            assert_eq!((response.status().as_u16(), found, &**response.body()), (status, length, body), "{method} {path}");
        }
    });
}

#[test]
fn what_cannot_be_sent_resets_its_stream_and_no_other() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        for _ in 0..3 {
            let error = client.fetch(get("/forbidden")).await.expect_err("not sent");
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error}");
        }
        assert_eq!(client.fetch(get("/hello")).await.expect("answered").body(), "hello");
    });
}

#[test]
fn bodies_and_trailers_stream_both_ways() {
    run(async {
        let server = server(Limits::default());
        let client = connect(&server).await;
        let request = Request::post("https://localhost/echo").body(()).expect("a request");
        let (response, mut send) = client.send.clone().ready().await.expect("ready").send_request(request, false).expect("sent");
        let mut body = response.await.expect("answered before the body is sent").into_body();
        send.send_data(Bytes::from_static(b"one"), false).expect("sent");
        assert_eq!(body.data().await.expect("a piece").expect("sound"), "one");
        send.send_data(Bytes::from_static(b"two"), false).expect("sent");
        send.send_trailers(HeaderMap::from_iter([("x-t".parse().expect("a name"), "1".parse().expect("a value"))])).expect("sent");
        let (rest, trailers) = text(body).await.expect("sound");
        assert_eq!((&*rest, &trailers.expect("there")["x-t"]), ("two", &HeaderValue::from_static("1")));
    });
}

async fn interim(response: &mut ResponseFuture) -> Response<()> {
    std::future::poll_fn(|cx| response.poll_informational(cx)).await.expect("not the response yet").expect("sound")
}

#[test]
fn interim_responses_go_ahead() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        let mut response = client.start(get("/hints")).await;
        let hints = interim(&mut response).await;
        assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &HeaderValue::from_static("</a>")));
        server.server.log.note("go on");
        assert_eq!(interim(&mut response).await.status().as_u16(), 102);
        assert_eq!(text(response.await.expect("answered").into_body()).await.expect("whole").0, "ready");
    });
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_to() {
    run(async {
        let server = server(Limits::default());
        let client = connect(&server).await;
        let request = || Request::post("https://localhost/length").header("expect", "100-continue").body(()).expect("a request");
        let (mut response, mut send) = client.send.clone().ready().await.expect("ready").send_request(request(), false).expect("sent");
        assert_eq!(interim(&mut response).await.status().as_u16(), 100);
        send.send_data(Bytes::from_static(b"seven b"), true).expect("sent");
        assert_eq!(text(response.await.expect("answered").into_body()).await.expect("whole").0, "7");
        // Nobody wants this one's body.
        let request = Request::post("https://localhost/hello").header("expect", "100-continue").body(()).expect("a request");
        let (mut response, _send) = client.send.clone().ready().await.expect("ready").send_request(request, false).expect("sent");
        assert!(std::future::poll_fn(|cx| response.poll_informational(cx)).await.is_none());
        assert_eq!(response.await.expect("answered").status().as_u16(), 200);
    });
}

#[test]
fn lengths_that_differ_are_refused() {
    run(async {
        let server = server(Limits::default());
        let client = connect(&server).await;
        for (lengths, sound) in [(&["3"][..], true), (&["3", "3"], true), (&["3", "4"], false), (&["3", "x"], false), (&["4"], false)] {
            let mut request = Request::post("https://localhost/length").body(()).expect("a request");
            for length in lengths {
                request.headers_mut().append("content-length", length.parse().expect("a value"));
            }
            let (response, mut send) = client.send.clone().ready().await.expect("ready").send_request(request, false).expect("sent");
            let _ = send.send_data(Bytes::from_static(b"abc"), true);
            match response.await {
                Ok(response) => assert!(sound && text(response.into_body()).await.expect("whole").0 == "3", "{lengths:?}"),
                Err(error) => assert!(!sound && error.reason() == Some(Reason::PROTOCOL_ERROR), "{lengths:?}: {error}"),
            }
        }
    });
}

#[test]
fn malformed_requests_get_the_handler_s_answer_and_the_connection_goes_on() {
    run(async {
        let server = server(Limits { header_count: 3, ..Limits::default() });
        let mut client = connect(&server).await;
        let with = |name: &'static str, values: &[&str]| {
            let mut request = get("/hello");
            for value in values {
                request.headers_mut().append(name, value.parse().expect("a value"));
            }
            request
        };
        let long = get(&format!("/{}", "x".repeat(9000)));
        let table = [
            (with("host", &["other"]), "bad_http2_request"),
            (with("host", &["localhost", "localhost"]), "bad_http2_request"),
            (with("cookie", &["a", "b", "c", "d"]), "too_many_fields"),
            (with("a", &[" admin"]), "bad_http2_request"),
            (with("a", &["admin\t"]), "bad_http2_request"),
            (with("a", &[&"x".repeat(33 << 10)]), "fields_too_large"),
            (get("/a\"b"), "bad_target"),
            (long, "request_line_too_long"),
        ];
        for (request, reason) in table {
            let response = client.fetch(request).await.expect("answered");
            assert_eq!((response.status().as_u16(), &**response.body()), (400, reason));
        }
        assert_eq!(client.fetch(with("host", &["LOCALHOST"])).await.expect("answered").body(), "hello");
    });
}

#[test]
fn abort_and_broken_bodies_reset_the_stream_alone() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        for path in ["/abort", "/switch", "/broken"] {
            let error = client.fetch(get(path)).await.expect_err("reset");
            assert!(error.is_reset() && error.is_remote(), "{path}: {error}");
        }
        assert_eq!(client.fetch(get("/hello")).await.expect("answered").body(), "hello");
    });
}

#[test]
fn a_reset_cancels_the_handler() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        let hanging = client.start(get("/hang")).await;
        server.server.log.wait_for("hanging").await;
        drop(hanging);
        server.server.log.wait_for("dropped").await;
    });
}

#[test]
fn a_body_that_is_broken_off_is_not_taken_for_the_whole() {
    run(async {
        let server = server(Limits::default());
        let client = connect(&server).await;
        for (times, reason) in [(1, Reason::CANCEL), (2, Reason::NO_ERROR), (3, Reason::INTERNAL_ERROR)] {
            let request = Request::post("https://localhost/upload").body(()).expect("a request");
            let (response, mut send) = client.send.clone().ready().await.expect("ready").send_request(request, false).expect("sent");
            send.send_data(Bytes::from_static(b"abc"), false).expect("sent");
            server.server.log.wait_for_times("reading", times).await;
            send.send_reset(reason);
            server.server.log.wait_for_times("the client went away", times).await;
            assert!(response.await.is_err());
        }
        assert!(!server.server.log.lines().contains(&"whole".to_owned()));
    });
}

#[test]
fn a_client_that_takes_nothing_loses_the_stream() {
    run(async {
        let server = server(Limits { body_idle: Duration::from_millis(80), ..Limits::default() });
        let mut client = connect(&server).await;
        let mut body = client.start(get("/flood")).await.await.expect("answered").into_body();
        // The window is never given back.
        let error = loop {
            match body.data().await.expect("no end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        assert_eq!(client.fetch(get("/hello")).await.expect("answered").body(), "hello");
    });
}

#[test]
fn a_request_body_that_pauses_too_long_fails() {
    run(async {
        let server = server(Limits { body_idle: Duration::from_millis(50), ..Limits::default() });
        let client = connect(&server).await;
        let request = Request::post("https://localhost/length").body(()).expect("a request");
        let (response, _send) = client.send.clone().ready().await.expect("ready").send_request(request, false).expect("sent");
        let response = response.await.expect("answered");
        assert_eq!(response.status().as_u16(), 400);
        server.server.log.wait_for("the client stalled").await;
    });
}

#[test]
fn idle_and_old_connections_are_told_to_go() {
    run(async {
        for limits in [
            Limits { keep_alive: Duration::from_millis(50), ..Limits::default() },
            Limits { connection_age: Duration::from_millis(50), ..Limits::default() },
        ] {
            let server = server(limits);
            let mut client = connect(&server).await;
            assert_eq!(client.fetch(get("/hello")).await.expect("answered").body(), "hello");
            client.connection.await.expect("no panic").expect("ended without an error");
        }
    });
}

#[test]
fn draining_lets_streams_finish() {
    run(async {
        let server = server(Limits::default());
        let mut client = connect(&server).await;
        let waiting = client.start(get("/wait")).await;
        server.server.log.wait_for("waiting").await;
        server.server.stopper.drain();
        // A round trip, after which the GOAWAY has been read.
        let _ = client.ping.ping(Ping::opaque()).await;
        server.server.log.note("go on");
        assert_eq!(text(waiting.await.expect("answered").into_body()).await.expect("whole").0, "waited");
        server.server.serving.await.expect("no panic").expect("served");
        client.connection.await.expect("no panic").expect("ended without an error");
    });
}

#[test]
fn streams_end_with_their_connection() {
    run(async {
        let stop = Duration::from_millis(50);
        let server = server(Limits { stop, stop_upgraded: stop, ..Limits::default() });
        let mut client = connect(&server).await;
        let hanging = client.start(get("/hang")).await;
        server.server.log.wait_for("hanging").await;
        server.server.stopper.drain();
        server.server.log.wait_for("dropped").await;
        assert!(hanging.await.is_err());
        server.server.serving.await.expect("no panic").expect("served");
    });
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET / https`, authority `a` (RFC 7541, appendix A and section 6.2.2).
const HEADERS: &[u8] = &[0x82, 0x84, 0x87, 0x01, 0x01, b'a'];

/// Sends this and returns the reason in the last GOAWAY before the server closes.
async fn flood(bytes: &[u8]) -> Option<Reason> {
    let server = server(Limits { h2_reset_streams: 50, ..Limits::default() });
    let mut stream = stream(&server).await;
    let _ = stream.write_all(&[PREFACE, bytes].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    while server.server.gate.open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut reason = None;
    let mut rest = &answer[..];
    while let Some((header, after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let payload = &after[..length];
        if header[3] == 7 {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four")).into());
        }
        rest = &after[length..];
    }
    reason
}

#[test]
fn floods_end_the_connection() {
    run(async {
        let resets: Vec<u8> = (0..60u32).flat_map(|index| reset_stream(2 * index + 1)).collect();
        let pings = frame(6, 0, 0, &[0; 8]).repeat(150);
        let settings = frame(4, 0, 0, &[]).repeat(80);
        // CVE-2024-27316: a head that never ends.
        let continuations = [frame(1, 1, 1, HEADERS), frame(9, 0, 1, &[]).repeat(300)].concat();
        for (name, bytes) in [("resets", resets), ("pings", pings), ("settings", settings), ("continuations", continuations)] {
            assert_eq!(flood(&bytes).await, Some(Reason::ENHANCE_YOUR_CALM), "{name}");
        }
    });
}

fn reset_stream(stream: u32) -> Vec<u8> {
    [frame(1, 5, stream, HEADERS), frame(3, 0, stream, &8u32.to_be_bytes())].concat()
}
