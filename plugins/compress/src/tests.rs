use super::*;
use portcullis_sdk::test::{BodyOutcome, Harness, SentResponse, get, response};
use std::io::Read;

fn compress() -> Harness<Compress> {
    Harness::new("{}")
}

fn html() -> SentResponse {
    response(200).header("content-type", "text/html; charset=utf-8").exchange(1)
}

/// What becomes of a response to a client that accepts this.
fn asked(compress: &Harness<Compress>, accepts: &str, sent: SentResponse, pieces: &[&[u8]]) -> BodyOutcome<SentResponse> {
    compress.on_request(get("/").exchange(1).header("accept-encoding", accepts));
    compress.on_response_body(sent, pieces)
}

fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain).map(drop),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).map(drop),
        "zstd" => {
            let mut rest = body;
            while !rest.is_empty() {
                let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
                decoder.read_to_end(&mut plain).expect("decodes");
            }
            Ok(())
        }
        other => panic!("no coding {other}"),
    }
    .expect("decodes");
    plain
}

#[test]
fn every_coding_gives_back_what_went_in() {
    let text: Vec<u8> = (0..60_000).flat_map(|n: u32| format!("line {n} of many\n").into_bytes()).collect();
    let pieces: Vec<&[u8]> = text.chunks(20_000).collect();
    for coding in ["gzip", "br", "zstd"] {
        let after = asked(&compress(), coding, html(), &pieces);
        assert_eq!(after.head().header("content-encoding"), Some(coding));
        let body = after.body();
        assert!(body.len() * 3 < text.len(), "{coding}: {} of {}", body.len(), text.len());
        assert_eq!(decoded(coding, &body), text, "{coding}");
    }
}

#[test]
fn a_stream_is_not_held_back() {
    for coding in Coding::ALL {
        let mut coder = Coder::new(coding, 4, None);
        let mut sent = Vec::new();
        for word in ["data: one\n\n", "data: two\n\n"] {
            let before = sent.len();
            sent.extend(coder.compress(word.as_bytes()).expect("compresses"));
            assert!(sent.len() > before, "{coding:?}: each word goes at once");
        }
        if coding == Coding::Gzip {
            let mut plain = [0; 22];
            flate2::read::GzDecoder::new(&sent[..]).read_exact(&mut plain).expect("all is there before the end");
            assert_eq!(&plain, b"data: one\n\ndata: two\n\n");
        }
        sent.extend(coder.finish().expect("ends"));
        assert_eq!(decoded(coding.name(), &sent), b"data: one\n\ndata: two\n\n", "{coding:?}");
    }
}

#[test]
fn the_client_s_weights_decide_and_then_the_operator_s_order() {
    let all = &Coding::ALL;
    let best = |line: &str| Accepted::of([line.as_bytes()].into_iter()).best(all).map(Coding::name);
    for (line, coding) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip;q=1.0, br;q=0.5", Some("gzip")),
        ("GZIP", Some("gzip")),
        ("zstd;q=0.9, gzip;q=0.9", Some("zstd")),
        ("*", Some("br")),
        ("*;q=0.5, br;q=0", Some("zstd")),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
        ("", None),
        ("deflate", None),
        ("gzip;q=2", None),
        ("gzip;q=0.0001", None),
        ("gzip;level=9;q=0.3, br;q=0.2", Some("gzip")),
    ] {
        assert_eq!(best(line), coding, "{line:?}");
    }
    assert_eq!(Accepted::of(std::iter::empty()).best(all), None);
}

#[test]
fn what_is_not_worth_it_or_must_not_be_passes() {
    let big = [b'a'; 5000];
    for (what, sent, body) in [
        ("another coding", html().header("content-encoding", "br"), &big[..]),
        ("an image", response(200).header("content-type", "image/png").exchange(1), &big[..]),
        ("no type", response(200).exchange(1), &big[..]),
        ("short", html(), b"short"),
        ("a part", html().header("content-range", "bytes 0-1/2"), &big[..]),
        ("no-transform", html().header("cache-control", "public, No-Transform"), &big[..]),
        ("206", response(206).header("content-type", "text/html").exchange(1), &big[..]),
    ] {
        let after = asked(&compress(), "gzip", sent, &[body]);
        assert_eq!((after.wanted(), after.head().edits().len()), ("pass", 0), "{what}");
    }
}

#[test]
fn caches_are_told() {
    let big = [b'a'; 5000];
    let after = asked(&compress(), "gzip", html().header("etag", "\"1\"").header("accept-ranges", "bytes"), &[&big]);
    let head = after.head();
    assert_eq!((head.header("vary"), head.header("etag"), head.header("accept-ranges")), (Some("accept-encoding"), Some("W/\"1\""), None));
    let after = asked(&compress(), "", html().header("etag", "\"1\""), &[&big]);
    assert_eq!(
        (after.wanted(), after.head().header("vary"), after.head().header("etag")),
        ("pass", Some("accept-encoding"), Some("\"1\""))
    );
    for vary in ["Cookie, Accept-Encoding", "*"] {
        let after = asked(&compress(), "gzip", html().header("vary", vary), &[&big]);
        assert_eq!(after.head().headers("vary"), [vary]);
    }
}

#[test]
fn settings_are_checked() {
    for (settings, place) in [
        (r#"{ "codings": [] }"#, "/codings"),
        (r#"{ "codings": ["deflate"] }"#, "/codings/0"),
        (r#"{ "level": 0 }"#, "/level"),
        (r#"{ "types": ["html"] }"#, "/types/0"),
    ] {
        assert_eq!(Harness::<Compress>::refused(settings)[0].path, place, "{settings}");
    }
    let only = Harness::<Compress>::new(r#"{ "codings": ["gzip"], "min-length": 1, "types": ["application/*"] }"#);
    let sent = response(200).header("content-type", "application/pdf").exchange(1);
    assert_eq!(asked(&only, "br, gzip;q=0.1", sent, &[b"x"]).head().header("content-encoding"), Some("gzip"));
}
