//! Bodies as bytes: pieces in any split, and what breaks the coding.

use crate::wire::{BadBody, Coding, Decoded, Decoder, Encoder, Framing, HeadLimits, Outbox};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits { start_line: 200, fields: 400, count: 8 };

/// Data, trailers and what is left, when `bytes` come in reads of `size`. `Incomplete` if the end does not come.
fn decode(framing: Framing, bytes: &[u8], size: usize) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), BadBody> {
    let (mut decoder, mut buf, mut body, mut trailers) = (Decoder::new(framing, &LIMITS), BytesMut::new(), Vec::new(), HeaderMap::new());
    let mut reads = bytes.chunks(size);
    loop {
        match decoder.decode(&mut buf)? {
            Decoded::Data(data) => body.extend_from_slice(&data),
            Decoded::Trailers(fields) => trailers = fields,
            Decoded::End => return Ok((body, trailers, [&buf[..], &reads.flatten().copied().collect::<Vec<_>>()].concat())),
            Decoded::NeedMore => match reads.next() {
                Some(read) => buf.extend_from_slice(read),
                None => decoder.eof()?,
            },
        }
    }
}

#[test]
fn each_framing_ends_where_it_should() {
    type Row = (Framing, &'static [u8], &'static [u8], &'static [u8]);
    let table: [Row; 6] = [
        (Framing::None, b"next", b"", b"next"),
        (Framing::Length(0), b"next", b"", b"next"),
        (Framing::Length(4), b"bodynext", b"body", b"next"),
        (Framing::UntilClose, b"all of it", b"all of it", b""),
        (Framing::Chunked, b"0\r\n\r\nnext", b"", b"next"),
        (Framing::Chunked, b"3;a=b;c=\"d\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\nnext", b"abc0123456789", b"next"),
    ];
    for (framing, bytes, body, rest) in table {
        for size in 1..=bytes.len() {
            let (decoded, trailers, left) = decode(framing, bytes, size).expect("sound");
            assert_eq!((&decoded[..], &left[..], trailers.len()), (body, rest, 0), "{framing:?} in reads of {size}");
        }
    }
}

#[test]
fn trailers_come_through_without_those_that_must_not() {
    let bytes = b"1\r\nx\r\n0\r\nX-Sum: 9\r\nContent-Length: 5\r\nHost: evil\r\nSet-Cookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n\r\nnext";
    for size in 1..=bytes.len() {
        let (body, trailers, left) = decode(Framing::Chunked, bytes, size).expect("sound");
        assert_eq!((&body[..], &left[..]), (&b"x"[..], &b"next"[..]));
        assert_eq!((trailers.len(), &trailers["x-sum"] == "9"), (1, true), "in reads of {size}");
    }
}

#[test]
fn broken_codings_are_refused_by_name_however_they_come_in() {
    let extension = |bytes: usize| format!("1;{}\r\nx\r\n", "e".repeat(bytes));
    let table: Vec<(String, BadBody)> = vec![
        ("\r\n".into(), BadBody::ChunkSize),
        ("x\r\n".into(), BadBody::ChunkSize),
        ("-1\r\n".into(), BadBody::ChunkSize),
        ("0x1\r\n".into(), BadBody::ChunkSize),
        (" 1\r\n".into(), BadBody::ChunkSize),
        ("1 \r\nx".into(), BadBody::ChunkSize),
        ("1\nx\n0\n\n".into(), BadBody::ChunkSize),
        ("1\rx".into(), BadBody::ChunkSize),
        ("10000000000000000\r\n".into(), BadBody::ChunkSize),
        ("00000000000000001\r\n".into(), BadBody::ChunkSize),
        ("1;a\nx\r\n".into(), BadBody::ChunkSize),
        ("1;a\0\r\nx".into(), BadBody::ChunkExtension),
        (extension(1024), BadBody::ChunkExtension),
        (extension(1000).repeat(17), BadBody::ChunkExtension),
        ("1\r\nxy\r\n".into(), BadBody::ChunkEnd),
        ("1\r\nx\n0\r\n\r\n".into(), BadBody::ChunkEnd),
        ("1\r\nx\rz".into(), BadBody::ChunkEnd),
        ("0\r\nno colon\r\n\r\n".into(), BadBody::Trailer),
        ("0\r\na: b\n\r\n".into(), BadBody::Trailer),
        ("0\r\n a: b\r\n\r\n".into(), BadBody::Trailer),
        (format!("0\r\na: {}\r\n\r\n", "b".repeat(400)), BadBody::Trailer),
        (format!("0\r\n{}\r\n", "a: b\r\n".repeat(9)), BadBody::Trailer),
        ("5\r\nabc".into(), BadBody::Incomplete),
        ("5\r\nabcde\r\n".into(), BadBody::Incomplete),
        ("0\r\n".into(), BadBody::Incomplete),
    ];
    for (bytes, expected) in table {
        for size in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(decode(Framing::Chunked, bytes.as_bytes(), size).err(), Some(expected), "{bytes:?} in reads of {size}");
        }
    }
    assert_eq!(decode(Framing::Length(9), b"short", 2).err(), Some(BadBody::Incomplete));
}

#[test]
fn the_end_is_taken_with_the_last_piece_if_it_is_there() {
    let mut buf = BytesMut::from("3\r\nabc\r\n0\r\n\r\n");
    let mut decoder = Decoder::new(Framing::Chunked, &LIMITS);
    assert!(matches!(decoder.decode(&mut buf), Ok(Decoded::Data(data)) if data == "abc"));
    assert!(decoder.ends_here(&mut buf) && buf.is_empty());

    let mut buf = BytesMut::from("3\r\nabc\r\n0\r\n\r");
    let mut decoder = Decoder::new(Framing::Chunked, &LIMITS);
    assert!(matches!(decoder.decode(&mut buf), Ok(Decoded::Data(_))));
    assert!(!decoder.ends_here(&mut buf));
    buf.extend_from_slice(b"\n");
    assert!(matches!(decoder.decode(&mut buf), Ok(Decoded::End)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, size in 1usize..20) {
        let _ = decode(Framing::Chunked, &bytes, size);
        let _ = decode(Framing::Chunked, &[b"5;", &bytes[..]].concat(), size);
        let _ = decode(Framing::Chunked, &[b"0\r\n", &bytes[..]].concat(), size);
    }

    #[test]
    fn what_is_encoded_is_decoded(pieces: Vec<Vec<u8>>, size in 1usize..40) {
        let (mut encoder, mut out) = (Encoder::new(Coding::Chunked), Outbox::default());
        for piece in &pieces {
            encoder.data(Bytes::from(piece.clone()), &mut out).expect("chunked has no length");
        }
        encoder.end(None, &mut out).expect("chunked has no length");
        let bytes = out.text().clone();

        let (body, _, left) = decode(Framing::Chunked, &bytes, size).expect("sound");

        prop_assert_eq!(body, pieces.concat());
        prop_assert!(left.is_empty());
    }
}
