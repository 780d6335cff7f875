//! Request heads as bytes: what is taken, what is refused and as what.

use crate::message::Malformed;
use crate::wire::{Framing, HeadLimits, HeadParser, ReceivedHead};
use bytes::BytesMut;
use http::{Method, Version};

const LIMITS: HeadLimits = HeadLimits { start_line: 200, fields: 400, count: 8 };

fn parse(bytes: &[u8]) -> Result<Option<ReceivedHead>, Malformed> {
    HeadParser::new(LIMITS).request(&mut BytesMut::from(bytes))
}

fn sound(bytes: &[u8]) -> ReceivedHead {
    parse(bytes).expect("sound").expect("complete")
}

/// The outcome when `bytes` come in two reads, split at `at`, or one by one.
fn parse_in_parts(bytes: &[u8], sizes: impl Iterator<Item = usize>) -> Result<Option<ReceivedHead>, Malformed> {
    let (mut parser, mut buf, mut rest) = (HeadParser::new(LIMITS), BytesMut::new(), bytes);
    for size in sizes {
        let (part, after) = rest.split_at(size.min(rest.len()));
        buf.extend_from_slice(part);
        rest = after;
        if let Some(head) = parser.request(&mut buf)? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

fn with_field(field: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a.example\r\n{field}\r\n\r\n").into_bytes()
}

#[test]
fn a_plain_head_is_split_off_and_the_rest_stays() {
    let mut buf = BytesMut::from("GET /a/b?c=d HTTP/1.1\r\nHost: a.example:81\r\nX-Two:  v w\t \r\nx-two:\r\n\r\nNEXT");

    let head = HeadParser::new(LIMITS).request(&mut buf).expect("sound").expect("complete");

    assert_eq!(head.method, Method::GET);
    assert_eq!((&*head.target.path_and_query, &head.target.authority), ("/a/b?c=d", &None));
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.headers["host"], "a.example:81");
    assert_eq!(head.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["v w", ""]);
    assert_eq!(head.framing, Framing::None);
    assert!(head.keep_alive && !head.expects_continue && !head.wants_upgrade);
    assert_eq!(&buf[..], b"NEXT");
}

#[test]
fn pipelined_heads_come_one_after_the_other() {
    let mut buf = BytesMut::from("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut parser = HeadParser::new(LIMITS);

    for path in ["/1", "/2"] {
        assert_eq!(&*parser.request(&mut buf).expect("sound").expect("complete").target.path_and_query, path);
    }
    assert!(parser.request(&mut buf).expect("sound").is_none() && buf.is_empty());
}

#[test]
fn where_reads_split_a_head_makes_no_difference() {
    let head: &[u8] = b"\r\nPOST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 12\r\n\r\n";
    for at in 0..head.len() {
        let parsed = parse_in_parts(head, [at, head.len()].into_iter()).expect("sound").expect("complete");
        assert_eq!(parsed.framing, Framing::Length(12), "split at {at}");
        assert!(parse(head.split_at(at).0).expect("sound so far").is_none(), "complete at {at}");
    }
    let parsed = parse_in_parts(head, std::iter::repeat_n(1, head.len())).expect("sound").expect("complete");
    assert_eq!(parsed.headers["host"], "a.example");
}

#[test]
fn malformed_heads_are_refused_by_name_however_they_come_in() {
    use Malformed::*;
    let line = |line: &str| format!("{line}\r\nHost: a.example\r\n\r\n").into_bytes();
    let long = |bytes: usize| "a".repeat(bytes);
    let table: Vec<(Vec<u8>, Malformed)> = vec![
        (line("GET /"), RequestLine),
        (line("GET  / HTTP/1.1"), RequestLine),
        (line("GET / HTTP/1.1 "), RequestLine),
        (line("GET / x HTTP/1.1"), RequestLine),
        (line("GET /\tHTTP/1.1"), RequestLine),
        (line(" GET / HTTP/1.1"), RequestLine),
        (line("G(T / HTTP/1.1"), RequestLine),
        (line("GET / http/1.1"), RequestLine),
        (line("GET / HTTP/"), RequestLine),
        (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), RequestLine),
        (line("GET / HTTP/0.9"), Version),
        (line("GET / HTTP/2.0"), Version),
        (line("GET / HTTP/1.10"), Version),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Version),
        (line("GET x HTTP/1.1"), Target),
        (line("GET * HTTP/1.1"), Target),
        (line("GET /a#b HTTP/1.1"), Target),
        (line("GET /%zz HTTP/1.1"), Target),
        (line("GET /\u{e9} HTTP/1.1"), Target),
        (line("GET /\0 HTTP/1.1"), Target),
        (line("GET ftp://a/ HTTP/1.1"), Target),
        (line("GET http://u:p@a/ HTTP/1.1"), Target),
        (line("CONNECT /x HTTP/1.1"), Target),
        (line(&format!("GET /{} HTTP/1.1", long(200))), RequestLineTooLong),
        (long(201).into_bytes(), RequestLineTooLong),
        (with_field("no colon"), Field),
        (with_field(": nameless"), Field),
        (with_field("x-a : b"), Field),
        (with_field("x\ta: b"), Field),
        (with_field("x-\u{e9}: b"), Field),
        (with_field("x-a: b\0c"), Field),
        (with_field("x-a: b\x7fc"), Field),
        (with_field("x-a: b\x01c"), Field),
        (with_field("x-a: b\r\n c"), ObsoleteFolding),
        (with_field("x-a: b\r\n\tc"), ObsoleteFolding),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_vec(), ObsoleteFolding),
        (with_field("x-a: b\nc: d"), BareLineBreak),
        (with_field("x-a: b\rc: d"), BareLineBreak),
        (b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), BareLineBreak),
        (b"GET / HTTP/1.1\r\r\n".to_vec(), BareLineBreak),
        (b"\nGET / HTTP/1.1\r\n".to_vec(), BareLineBreak),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n".to_vec(), BareLineBreak),
        (with_field(&format!("x-a: {}", long(400))), FieldsTooLarge),
        (format!("GET / HTTP/1.1\r\nx-a: {}", long(400)).into_bytes(), FieldsTooLarge),
        (with_field(&"a: b\r\n".repeat(8)), TooManyFields),
        (with_field("Content-Length: 3\r\nTransfer-Encoding: chunked"), LengthAndChunked),
        (with_field("Transfer-Encoding: chunked\r\nContent-Length: 0"), LengthAndChunked),
        (with_field("Content-Length: 3\r\nContent-Length: 3"), ContentLength),
        (with_field("Content-Length: 3\r\nContent-Length: 4"), ContentLength),
        (with_field("Content-Length: 3, 3"), ContentLength),
        (with_field("Content-Length: +3"), ContentLength),
        (with_field("Content-Length: -3"), ContentLength),
        (with_field("Content-Length: 0x3"), ContentLength),
        (with_field("Content-Length: 3 3"), ContentLength),
        (with_field("Content-Length:"), ContentLength),
        (with_field("Content-Length: 18446744073709551616"), ContentLength),
        (with_field("Transfer-Encoding: gzip"), TransferEncoding),
        (with_field("Transfer-Encoding: gzip, chunked"), TransferEncoding),
        (with_field("Transfer-Encoding: chunked, chunked"), TransferEncoding),
        (with_field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), TransferEncoding),
        (with_field("Transfer-Encoding: xchunked"), TransferEncoding),
        (with_field("Transfer-Encoding: \"chunked\""), TransferEncoding),
        (with_field("Transfer-Encoding: chunked;q=1"), TransferEncoding),
        (with_field("Transfer-Encoding:"), TransferEncoding),
        (with_field("Transfer-Encoding: \x0bchunked"), Field),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), TransferEncoding),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n".to_vec(), Host),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(), Host),
        (b"GET http://a/ HTTP/1.1\r\n\r\n".to_vec(), Host),
    ];
    for (bytes, expected) in table {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(parse(&bytes).err(), Some(expected), "{shown:?}");
        assert_eq!(parse_in_parts(&bytes, std::iter::repeat_n(1, bytes.len())).err(), Some(expected), "byte by byte: {shown:?}");
    }
}

#[test]
fn framing_and_connection_are_read_off_the_fields() {
    let chunked = sound(&with_field("Transfer-Encoding: Chunked\r\nExpect: 100-Continue"));
    assert_eq!(chunked.framing, Framing::Chunked);
    assert!(chunked.expects_continue);

    assert_eq!(sound(&with_field("Content-Length: 0")).framing, Framing::Length(0));
    assert_eq!(sound(&with_field("Content-Length: 18446744073709551615")).framing, Framing::Length(u64::MAX));
    assert!(!sound(&with_field("Expect: 100-continue")).expects_continue, "there is no body to wait with");
    assert!(!sound(&with_field("Connection: x, Close")).keep_alive);
    assert!(sound(&with_field("Connection: Upgrade\r\nUpgrade: websocket")).wants_upgrade);
    assert!(!sound(&with_field("Upgrade: websocket")).wants_upgrade);
    assert!(!sound(b"GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(sound(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

#[test]
fn limits_let_just_enough_through() {
    let path = "a".repeat(LIMITS.start_line - "GET / HTTP/1.1".len());
    sound(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    sound(&with_field(&["a: b"; 7].join("\r\n")));
}

#[test]
fn every_byte_is_a_name_byte_or_refused() {
    for byte in 0..=255u8 {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\nx", &[byte][..], b"y: v\r\n\r\n"].concat();
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte) || byte == b':';
        assert_eq!(parse(&head).is_ok(), token, "{byte:#x}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_splits_change_nothing(bytes: Vec<u8>, size in 1usize..9) {
        let outcome = |parsed: Result<Option<ReceivedHead>, Malformed>| parsed.map(|head| head.map(|head| (head.method, head.target, head.headers)));
        let whole = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &bytes, b"\r\n\r\n"].concat();
        let parts = parse_in_parts(&whole, std::iter::repeat_n(size, whole.len()));
        proptest::prop_assert_eq!(outcome(parse(&whole)), outcome(parts));
        let _ = parse(&bytes);
    }
}
