//! One exchange in all its shapes: bodies, streaming, trailers, HEAD, pipelining, 100-continue.

use crate::plain_site;
use portcullis_tests::{Origin, Raw};
use std::io::{Read, Write};
use std::time::Duration;

#[test]
fn bodies_pass_both_ways() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello").response();
    assert!(
        response.text().to_ascii_lowercase().contains("content-length: 5") && response.text().ends_with("hello"),
        "{}",
        response.text()
    );
    let response = client
        .send("POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        .response();
    assert!(response.text().to_ascii_lowercase().contains("transfer-encoding: chunked") && response.text().ends_with("abcde"));
    let response = client.send("GET /bytes/3000000 HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!((response.header("content-length"), response.body.len()), (Some("3000000"), 3_000_000));
    let response = client.send("GET /chunked/100000 HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!(response.body.len(), 100_000);
    assert_eq!(origin.connections(), 1, "one connection to the origin serves them all");
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("GET /chunked/10 HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n").response();
    assert_eq!(response.trailers, [("x-checksum".to_owned(), "done".to_owned())]);
    let response =
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n").response();
    assert!(response.text().to_ascii_lowercase().ends_with("abcx-sum: 9"), "{}", response.text());
}

#[test]
fn trailers_of_an_empty_body_pass_and_the_origin_hears_that_they_may() {
    let origin =
        Origin::says_and_stays("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: te\r\n\r\n").response();
    assert_eq!((response.header("content-length"), &*response.trailers), (None, &[("grpc-status".to_owned(), "0".to_owned())][..]));
    let heard = origin.requests().concat();
    assert!(heard.contains("\r\nte: trailers\r\n") && heard.contains("\r\nconnection: te\r\n"), "{heard}");
}

#[test]
fn head_has_the_length_and_no_body() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("HEAD /bytes/1234 HTTP/1.1\r\nHost: a.test\r\n\r\n").response_to("HEAD");
    assert_eq!((response.status, response.header("content-length")), (200, Some("1234")));
    let response = client.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!(response.text(), "origin");
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    for status in [204, 304] {
        let response = client.send(format!("GET /status/{status} HTTP/1.1\r\nHost: a.test\r\n\r\n")).response();
        assert_eq!(response.status, status);
    }
    assert_eq!(client.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response().text(), "origin");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let requests: String = (0..10).map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nHost: a.test\r\n\r\n")).collect();
    client.send(requests);
    for n in 0..10 {
        assert_eq!(client.response().body.len(), n);
    }
}

#[test]
fn http_1_0_is_served_and_closed() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("GET /chunked/20 HTTP/1.0\r\nHost: a.test\r\n\r\n").response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.body.len(), 20);
    assert!(client.closed());
}

#[test]
fn expect_100_continue_is_answered_before_the_body_comes() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    let response = client.send("abc").response();
    assert!(response.status == 200 && response.text().ends_with("abc"), "{response:?}");
}

#[test]
fn a_body_streams_without_waiting_for_its_end() {
    let (go, told) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let origin = Origin::serve(move |stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
        let _ = told.lock().unwrap().recv();
        let _ = stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    // The second is not said before the first has been heard.
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").until(b"first").unwrap();
    go.send(()).unwrap();
    client.until(b"second").unwrap();
}

#[test]
fn an_upload_streams_and_back_pressure_holds() {
    // An origin that does not read: the client must be stopped long before 200 MB are taken.
    let origin = Origin::serve(|stream, _| {
        let _ = stream.peek(&mut [0; 1]);
        std::thread::sleep(Duration::from_secs(3));
    });
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000000\r\n\r\n");
    let piece = vec![b'x'; 1 << 20];
    let mut taken = 0;
    while taken < 200 && client.stream.write_all(&piece).is_ok() {
        taken += 1;
    }
    assert!(taken < 40, "{taken} MiB were taken for an origin that reads nothing");
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let origin = Origin::serve(|stream, _| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
        std::thread::sleep(Duration::from_millis(300));
    });
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000000\r\n\r\n");
    client.try_send(vec![b'x'; 100_000]);
    assert_eq!(client.response().status, 413);
}

#[test]
fn a_client_that_leaves_cancels_the_request_upstream() {
    let (sender, gone) = std::sync::mpsc::channel();
    let origin = Origin::serve(move |stream, _| {
        let _ = portcullis_tests::origin::read_head(stream);
        // Blocks until the proxy closes its side.
        let ended = matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_));
        let _ = sender.send(ended);
    });
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    drop(client);
    assert!(gone.recv_timeout(Duration::from_secs(5)).unwrap());
}
