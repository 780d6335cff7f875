//! Response heads as bytes: what is taken, what is refused and as what.

use crate::wire::{Framing, HeadLimits, HeadParser, MalformedResponse, ReceivedResponse};
use bytes::BytesMut;
use http::{Method, StatusCode};

const LIMITS: HeadLimits = HeadLimits { start_line: 200, fields: 400, count: 8 };

fn parse_to(method: &Method, head: &str) -> Result<Option<ReceivedResponse>, MalformedResponse> {
    HeadParser::new(LIMITS).response(&mut BytesMut::from(head), method)
}

fn sound(head: &str) -> ReceivedResponse {
    parse_to(&Method::GET, head).expect("sound").expect("complete")
}

#[test]
fn framing_follows_status_method_and_fields() {
    use Framing::*;
    let table = [
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Length(5), true),
        (Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Chunked, true),
        (Method::GET, "HTTP/1.1 200\r\n\r\n", UntilClose, false),
        (Method::GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", Length(5), false),
        (Method::GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Length(5), false),
        (Method::GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", Length(5), true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", None, true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None, true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n", None, true),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", None, true),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n", None, true),
        (Method::GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None, true),
        (Method::GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", None, false),
        (Method::GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", None, false),
        (Method::GET, "HTTP/1.1 100 Continue\r\n\r\n", None, true),
    ];
    for (method, head, framing, keep_alive) in table {
        let parsed = parse_to(&method, head).expect("sound").expect("complete");
        assert_eq!((parsed.framing, parsed.keep_alive), (framing, keep_alive), "{method} → {head:?}");
    }
}

#[test]
fn framing_fields_do_not_get_through_except_where_they_only_describe() {
    let chunked = sound("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n");
    assert_eq!((chunked.headers.len(), &chunked.headers["x-a"] == "b"), (1, true));
    assert!(sound("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").headers.is_empty());
    assert!(sound("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").headers.is_empty());

    assert_eq!(sound("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").headers["content-length"], "5");
    let to_head = parse_to(&Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sound").expect("complete");
    assert!(to_head.headers.is_empty());
}

#[test]
fn malformed_heads_are_refused_by_name() {
    use MalformedResponse::*;
    let long = "a".repeat(400);
    let table = [
        ("HTTP/1.1\r\n\r\n".to_owned(), StatusLine),
        ("HTTP/1.1 20\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 099 Low\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 2x0 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1  200 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n".into(), StatusLine),
        ("ICY 200 OK\r\n\r\n".into(), StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n".into(), Version),
        ("HTTP/1.1 200 OK\r\nx a: b\r\n\r\n".into(), Field),
        ("HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\n\r\n".into(), ObsoleteFolding),
        ("HTTP/1.1 200 OK\nx-a: b\n\n".into(), BareLineBreak),
        ("HTTP/1.1 200 OK\r\nx-a: b\rSet-Cookie: c\r\n\r\n".into(), BareLineBreak),
        (format!("HTTP/1.1 200 {long}"), TooLarge),
        (format!("HTTP/1.1 200 OK\r\nx-a: {long}"), TooLarge),
        (format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(9)), TooManyFields),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".into(), LengthAndChunked),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n".into(), ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n".into(), ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(), TransferEncoding),
    ];
    for (head, expected) in table {
        assert_eq!(parse_to(&Method::GET, &head).err(), Some(expected), "{head:?}");
    }
}

#[test]
fn where_reads_split_a_head_makes_no_difference() {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nX-A: b\r\n\r\n";
    for at in 0..head.len() {
        let (mut parser, mut buf) = (HeadParser::new(LIMITS), BytesMut::from(head.split_at(at).0));
        assert!(parser.response(&mut buf, &Method::GET).expect("sound so far").is_none());
        buf.extend_from_slice(head.split_at(at).1.as_bytes());
        let parsed = parser.response(&mut buf, &Method::GET).expect("sound").expect("complete");
        assert_eq!((parsed.status, parsed.framing), (StatusCode::NOT_FOUND, Framing::Length(7)), "split at {at}");
    }
}
