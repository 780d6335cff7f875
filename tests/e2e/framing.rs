//! RFC 9112 strictness towards clients: what is ambiguous is refused, and the connection with it.

use crate::plain_site;
use portcullis_tests::{Origin, Raw};

/// Sends `request` and expects `status` with `reason`, a closed connection, and nothing at the origin.
fn refused(request: &str, status: u16, reason: &str) {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.try_send(request);
    let response = client.response();
    assert_eq!((response.status, response.reason()), (status, Some(reason)), "{request:?}: {response:?}");
    assert_eq!(response.header("connection"), Some("close"), "{request:?}");
    assert!(client.closed(), "{request:?} must end the connection");
    assert!(origin.requests().is_empty(), "{request:?} reached the origin");
    proxy.access_line(|line| line.contains(reason));
}

#[test]
fn length_beside_chunked_is_refused() {
    for fields in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"] {
        refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n0\r\n\r\n"), 400, "length_and_chunked");
    }
}

#[test]
fn a_doubtful_content_length_is_refused() {
    for value in ["3\r\nContent-Length: 4", "3\r\nContent-Length: 3", "3, 3", "+3", "-1", "0x3", "3 ", "", "99999999999999999999999"] {
        let value = value.trim_end_matches(' ');
        if value == "3" {
            continue; // trailing white space is allowed (RFC 9110, section 5.5)
        }
        refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {value}\r\n\r\nabc"), 400, "bad_content_length");
    }
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    for value in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked\r\nTransfer-Encoding: chunked"] {
        refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n"), 400, "bad_transfer_encoding");
    }
}

#[test]
fn chunked_in_http_1_0_is_refused() {
    refused("POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_transfer_encoding");
}

#[test]
fn folded_fields_are_refused() {
    refused("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: one\r\n two\r\n\r\n", 400, "obsolete_folding");
    refused("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: one\r\n\ttwo\r\n\r\n", 400, "obsolete_folding");
}

#[test]
fn bare_line_breaks_are_refused() {
    refused("GET / HTTP/1.1\nHost: a.test\n\n", 400, "bare_line_break");
    refused("GET / HTTP/1.1\r\nHost: a.test\nX-A: b\r\n\r\n", 400, "bare_line_break");
    refused("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: b\rX-B: c\r\n\r\n", 400, "bare_line_break");
}

#[test]
fn malformed_fields_are_refused() {
    for field in ["X-A : b", " X-A: b", "X A: b", "no colon", ": empty", "X-A: a\0b", "X(A): b"] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n");
        // A line that begins with a space continues the one before it.
        let reason = if field.starts_with(' ') { "obsolete_folding" } else { "bad_field" };
        refused(&request, 400, reason);
    }
}

#[test]
fn a_doubtful_host_is_refused() {
    refused("GET / HTTP/1.1\r\n\r\n", 400, "bad_host");
    refused("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400, "bad_host");
    refused("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400, "bad_host");
    for host in ["a b", "a.test/x", "user@a.test", "a.test:x", "a.test:99999", "a.test?x", "[::1", "a.test,b.test"] {
        refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "bad_host");
    }
}

#[test]
fn a_malformed_request_line_is_refused() {
    for line in ["GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "G(T / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.x"] {
        let origin = Origin::echo();
        let proxy = plain_site(&origin);
        let mut client = Raw::connect(proxy.http());
        let response = client.try_send(format!("{line}\r\nHost: a.test\r\n\r\n")).response();
        assert!([400, 505].contains(&response.status), "{line:?}: {response:?}");
        assert!(client.closed() && origin.requests().is_empty(), "{line:?}");
    }
    refused("GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", 505, "bad_version");
}

#[test]
fn a_malformed_target_is_refused() {
    for target in ["a", "/a\u{1}b", "/%zz", "/a#b", "/%00", "http:///x"] {
        let origin = Origin::echo();
        let proxy = plain_site(&origin);
        let mut client = Raw::connect(proxy.http());
        let response = client.try_send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).response();
        assert_eq!(response.status, 400, "{target:?}: {response:?}");
        assert!(origin.requests().is_empty(), "{target:?}");
    }
}

#[test]
fn a_bad_chunk_ends_the_exchange_and_never_reaches_the_origin_as_whole() {
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n",
    ] {
        let origin = Origin::echo();
        let proxy = plain_site(&origin);
        let mut client = Raw::connect(proxy.http());
        client.try_send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        let response = client.try_response_to("POST");
        assert!(response.as_ref().is_none_or(|response| response.status == 400), "{body:?}: {response:?}");
        assert!(client.closed(), "{body:?}");
    }
}

#[test]
fn the_limits_on_heads_hold() {
    let long = "x".repeat(9 << 10);
    refused(&format!("GET /{long} HTTP/1.1\r\nHost: a.test\r\n\r\n"), 414, "request_line_too_long");
    let many: String = (0..120).map(|n| format!("X-{n}: v\r\n")).collect();
    refused(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{many}\r\n"), 431, "too_many_fields");
    let large = "x".repeat(33 << 10);
    refused(&format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: {large}\r\n\r\n"), 431, "fields_too_large");
}

#[test]
fn an_endless_head_is_refused_before_it_ends() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ").try_send("x".repeat(64 << 10));
    assert_eq!(client.response().status, 431);
}

#[test]
fn a_slow_head_is_answered_with_408() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[limits]\nheader-read = \"300ms\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let mut client = Raw::connect(proxy.http());
    let response = client.send("GET / HTTP/1.1\r\nHost: a.te").response();
    assert_eq!((response.status, response.reason()), (408, Some("head_timeout")));
    assert!(client.closed());
}

#[test]
fn a_head_in_single_bytes_is_understood() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    for byte in b"POST /a?b=c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc" {
        client.send([*byte]);
    }
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with("POST /a?b=c HTTP/1.1\r\n") && response.text().ends_with("abc"), "{}", response.text());
}

use portcullis_tests::Proxy;
