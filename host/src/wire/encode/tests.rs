//! Heads as bytes.

use super::*;
use crate::message::Scheme;
use http::Method;

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn request(query: Option<&'static str>, coding: Coding, upgrade: Option<&HeaderValue>) -> String {
    let headers = fields(&[("x-a", "b"), ("content-length", "999"), ("transfer-encoding", "gzip"), ("connection", "x-a")]);
    let (authority, path) = ("a.example:81".into(), "/p".into());
    let head = RequestHead { method: Method::POST, scheme: Scheme::Https, authority, path, query: query.map(Into::into), headers };
    let mut out = Vec::new();
    put_request(&mut out, &head, coding, upgrade);
    String::from_utf8(out).expect("ASCII")
}

fn response(status: u16, headers: &HeaderMap, coding: Coding, persistence: Persistence) -> String {
    let mut out = Vec::new();
    put_response(&mut out, StatusCode::from_u16(status).expect("a status"), headers, coding, persistence, Instant::now());
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn requests_go_out_in_origin_form_with_our_framing_only() {
    assert_eq!(
        request(Some("q=1"), Coding::Length(1_234_567_890), None),
        "POST /p?q=1 HTTP/1.1\r\nhost: a.example:81\r\nx-a: b\r\ncontent-length: 1234567890\r\n\r\n"
    );
    assert_eq!(
        request(Some(""), Coding::Chunked, None),
        "POST /p? HTTP/1.1\r\nhost: a.example:81\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let websocket = HeaderValue::from_static("websocket");
    assert_eq!(
        request(None, Coding::Length(0), Some(&websocket)),
        "POST /p HTTP/1.1\r\nhost: a.example:81\r\nx-a: b\r\ncontent-length: 0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
}

#[test]
fn te_is_listed_by_connection() {
    let head = RequestHead {
        method: Method::GET,
        scheme: Scheme::Http,
        authority: "a".into(),
        path: "/".into(),
        query: None,
        headers: fields(&[("te", "trailers")]),
    };
    let written = |upgrade: Option<&HeaderValue>| {
        let mut out = Vec::new();
        put_request(&mut out, &head, Coding::None, upgrade);
        String::from_utf8(out).expect("ASCII")
    };
    assert_eq!(written(None), "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n");
    let websocket = HeaderValue::from_static("websocket");
    assert_eq!(
        written(Some(&websocket)),
        "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: upgrade, te\r\nupgrade: websocket\r\n\r\n"
    );
}

#[test]
fn responses_go_out_with_date_connection_and_our_framing_only() {
    let headers = fields(&[("date", "then"), ("x-a", "b"), ("content-length", "7")]);
    assert_eq!(
        response(200, &headers, Coding::Length(0), Persistence::Implied),
        "HTTP/1.1 200 OK\r\ndate: then\r\nx-a: b\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(
        response(404, &headers, Coding::None, Persistence::Close),
        "HTTP/1.1 404 Not Found\r\ndate: then\r\nx-a: b\r\ncontent-length: 7\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        response(599, &headers, Coding::UntilClose, Persistence::Close),
        "HTTP/1.1 599 \r\ndate: then\r\nx-a: b\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        response(101, &fields(&[("upgrade", "websocket")]), Coding::None, Persistence::Upgrade),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    );
    let dated = response(200, &HeaderMap::new(), Coding::Chunked, Persistence::KeepAlive);
    assert!(
        dated.starts_with("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: ")
            && dated.ends_with(" GMT\r\nconnection: keep-alive\r\n\r\n"),
        "{dated}"
    );
}

#[test]
fn numbers_have_all_their_digits() {
    for number in [0, 1, 9, 10, 15, 16, 255, 4096, u64::MAX] {
        let (mut decimal, mut hex) = (Vec::new(), Vec::new());
        put_decimal(&mut decimal, number);
        put_hex(&mut hex, number);
        assert_eq!(
            (String::from_utf8_lossy(&decimal).into_owned(), String::from_utf8_lossy(&hex).into_owned()),
            (format!("{number}"), format!("{number:x}"))
        );
    }
}
