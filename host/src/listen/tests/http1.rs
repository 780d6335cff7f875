//! HTTP/1.1, request by request: bytes in, bytes out.

use super::kit::{Server, run};
use crate::config::Limits;

/// `\n` stands for CRLF.
fn wire(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// Each request, sent whole on a connection of its own that the client lets the server close, with all that comes back.
fn check(table: &[(&str, &str)]) {
    run(async {
        let server = Server::plain(Limits::default());
        for (request, want) in table {
            assert_eq!(server.whole(&wire(request)).await, wire(want), "{request}");
        }
    });
}

#[test]
fn framing_of_responses() {
    check(&[
        ("GET /hello HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\nhello"),
        ("GET /empty HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 200 OK\ncontent-length: 0\nconnection: close\n\n"),
        (
            "GET /stream HTTP/1.1\nhost: a\nconnection: close\n\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: close\n\n3\none\n3\ntwo\n0\n\n",
        ),
        (
            "GET /trailers HTTP/1.1\nhost: a\nte: trailers\nconnection: close\n\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: close\n\n6\nonetwo\n0\nx-sum: 6\n\n",
        ),
        ("HEAD /hello HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\n"),
        ("HEAD /stream HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 200 OK\nconnection: close\n\n"),
        ("HEAD /status?200 HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 200 OK\ncontent-length: 7\nconnection: close\n\n"),
        ("GET /status?204 HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 204 No Content\nconnection: close\n\n"),
        ("GET /status?304 HTTP/1.1\nhost: a\nconnection: close\n\n", "HTTP/1.1 304 Not Modified\ncontent-length: 7\nconnection: close\n\n"),
        (
            "GET /status?200 HTTP/1.1\nhost: a\nconnection: close\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 11\nconnection: close\n\nnot for all",
        ),
    ]);
}

#[test]
fn http_1_0() {
    check(&[
        ("GET /hello HTTP/1.0\n\n", "HTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\nhello"),
        ("GET /stream HTTP/1.0\n\n", "HTTP/1.1 200 OK\nconnection: close\n\nonetwo"),
        ("GET /stream HTTP/1.0\nconnection: keep-alive\n\n", "HTTP/1.1 200 OK\nconnection: close\n\nonetwo"),
        (
            "GET /hello HTTP/1.0\nconnection: keep-alive\n\nGET /hello HTTP/1.0\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 5\nconnection: keep-alive\n\nhelloHTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\nhello",
        ),
    ]);
}

#[test]
fn request_bodies() {
    check(&[
        (
            "POST /length HTTP/1.1\nhost: a\ncontent-length: 5\nconnection: close\n\nhello",
            "HTTP/1.1 200 OK\ncontent-length: 1\nconnection: close\n\n5",
        ),
        (
            "POST /length HTTP/1.1\nhost: a\ntransfer-encoding: chunked\nconnection: close\n\n5\nhello\n1\n!\n0\nx-t: 1\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 14\nconnection: close\n\n6 {\"x-t\": \"1\"}",
        ),
        (
            "POST /echo HTTP/1.1\nhost: a\ntransfer-encoding: chunked\nconnection: close\n\n5\nhello\n0\nx-t: 1\n\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: close\n\n5\nhello\n0\nx-t: 1\n\n",
        ),
        (
            "POST /echo HTTP/1.1\nhost: a\ncontent-length: 3\nconnection: close\n\nabc",
            "HTTP/1.1 200 OK\ncontent-length: 3\nconnection: close\n\nabc",
        ),
    ]);
}

#[test]
fn what_is_malformed_gets_the_handler_s_answer_and_the_connection_ends() {
    let refused =
        |reason: &str| wire(&format!("HTTP/1.1 400 Bad Request\ncontent-length: {}\nconnection: close\n\n{reason}", reason.len()));
    run(async {
        let server = Server::plain(Limits::default());
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(9000));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(101));
        let table = [
            ("nonsense\r\n\r\n", "bad_request_line"),
            ("GET / HTTP/2.0\r\n\r\n", "bad_version"),
            ("GET / HTTP/1.1\r\n\r\n", "bad_host"),
            ("GET / HTTP/1.1\nhost: a\n\n", "bare_line_break"),
            ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "length_and_chunked"),
            (&long, "request_line_too_long"),
            (&many, "too_many_fields"),
        ];
        for (request, reason) in table {
            // What follows must not be taken for a request.
            let request = format!("{request}GET /hello HTTP/1.1\r\nhost: a\r\n\r\n");
            assert_eq!(server.whole(&request).await, refused(reason), "{reason}");
        }
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        let posted = "POST /length HTTP/1.1\nhost: a\ncontent-length: 4\n\nbody";
        let last = "GET /stream HTTP/1.1\nhost: a\nconnection: close\n\n";
        client.send(wire(&format!("GET /hello HTTP/1.1\nhost: a\n\n{posted}{last}"))).await;
        let want = "HTTP/1.1 200 OK\ncontent-length: 5\n\nhello\
                    HTTP/1.1 200 OK\ncontent-length: 1\n\n4\
                    HTTP/1.1 200 OK\ntransfer-encoding: chunked\nconnection: close\n\n3\none\n3\ntwo\n0\n\n";
        assert_eq!(client.rest().await, wire(want));
    });
}

#[test]
fn a_client_may_send_byte_by_byte() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        client.0.set_nodelay(true).expect("set");
        let request = "\nPOST /length HTTP/1.1\nhost: a\ntransfer-encoding: chunked\nconnection: close\n\n3\nabc\n0\n\n";
        for byte in wire(request).bytes() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.rest().await, wire("HTTP/1.1 200 OK\ncontent-length: 1\nconnection: close\n\n3"));
    });
}

#[test]
fn continue_is_sent_when_the_body_is_wanted() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        let head = "POST /length HTTP/1.1\nhost: a\nexpect: 100-continue\ncontent-length: 3\n\n";
        client.send(wire(head)).await;
        assert_eq!(client.until("\r\n\r\n").await, wire("HTTP/1.1 100 Continue\n\n"));
        client.send("abc").await;
        assert_eq!(client.until("\r\n\r\n3").await, wire("HTTP/1.1 200 OK\ncontent-length: 1\n\n3"));

        // Nobody wants it: no 100, and whether the body will come is unknown, so the connection ends.
        client.send(wire(&head.replace("/length", "/hello"))).await;
        assert_eq!(client.rest().await, wire("HTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\nhello"));

        // It came without being asked for.
        let mut client = server.connect().await;
        client.send(wire(head) + "abc").await;
        assert_eq!(client.until("\r\n\r\n3").await, wire("HTTP/1.1 200 OK\ncontent-length: 1\n\n3"));
    });
}

#[test]
fn an_unread_body_is_drained_if_small() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        let small = "x".repeat(60_000);
        client.send(wire("POST /hello HTTP/1.1\nhost: a\ncontent-length: 60000\n\n") + &small).await;
        assert_eq!(client.until("hello").await, wire("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello"));
        client.send(wire("POST /hello HTTP/1.1\nhost: a\ncontent-length: 70000\n\n")).await;
        // Still sending: the answer arrives all the same, and no reset overtakes it.
        client.send("x".repeat(70_000)).await;
        assert_eq!(client.rest().await, wire("HTTP/1.1 200 OK\ncontent-length: 5\nconnection: close\n\nhello"));
    });
}

#[test]
fn answer_and_request_stream_at_once() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        client.send(wire("POST /echo HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n")).await;
        assert_eq!(client.until("\r\n\r\n").await, wire("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n"));
        for word in ["one", "two"] {
            client.send(wire(&format!("3\n{word}\n"))).await;
            assert_eq!(client.until(&format!("{word}\r\n")).await, wire(&format!("3\n{word}\n")));
        }
        client.send(wire("0\n\nGET /hello HTTP/1.1\nhost: a\n\n")).await;
        assert_eq!(client.until("hello").await, wire("0\n\nHTTP/1.1 200 OK\ncontent-length: 5\n\nhello"));
    });
}

#[test]
fn large_bodies_pass_whole() {
    run(async {
        let server = Server::plain(Limits::default());
        let answer = server.whole(&wire("GET /big?3000000 HTTP/1.1\nhost: a\nconnection: close\n\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("content-length: 3000000"));
        assert!(body.len() == 3_000_000 && body.bytes().all(|byte| byte == b'x'));

        let mut client = server.connect().await;
        let head = wire("POST /length HTTP/1.1\nhost: a\ncontent-length: 3000000\nconnection: close\n\n");
        client.send(head + body).await;
        assert!(client.rest().await.ends_with("\r\n\r\n3000000"));
    });
}
