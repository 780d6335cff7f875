use super::*;
use portcullis_sdk::test::{BodyOutcome, Harness, SentResponse, request, response};

fn html() -> SentResponse {
    response(200).header("content-type", "text/html; charset=utf-8")
}

fn through(settings: &str, pieces: &[&str]) -> String {
    let pieces: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    let after: BodyOutcome<_> = Harness::<BodyRewrite>::new(settings).on_response_body(html(), &pieces);
    String::from_utf8(after.body()).expect("text")
}

#[test]
fn texts_are_replaced_wherever_pieces_end() {
    let settings = r#"{ "replace": [{ "text": "http://", "with": "https://" }, { "text": "old", "with": "" }] }"#;
    let body = "<a href=http://old.test/>old http:/ http://</a>ol";
    let expected = "<a href=https://.test/> http:/ https://</a>ol";
    for cut in 0..body.len() {
        let (first, second) = body.split_at(cut);
        assert_eq!(through(settings, &[first, second]), expected, "cut at {cut}");
    }
    let single: Vec<String> = body.chars().map(String::from).collect();
    assert_eq!(through(settings, &single.iter().map(|one| &**one).collect::<Vec<_>>()), expected);
}

#[test]
fn the_first_of_the_list_counts_and_what_was_put_in_is_left_alone() {
    let settings = r#"{ "replace": [{ "text": "a", "with": "aa" }, { "text": "ab", "with": "x" }] }"#;
    assert_eq!(through(settings, &["ab", "a"]), "aabaa");
}

#[test]
fn expressions_are_replaced_with_their_groups() {
    let settings =
        r#"{ "replace": [{ "regex": "(?<first>\\w+)@(\\w+)\\.test", "with": "${first} at $2, $$5" }, { "text": "€", "with": "$1" }] }"#;
    let body = "write to me@example.test for €";
    for cut in (0..body.len()).filter(|cut| body.is_char_boundary(*cut)) {
        let (first, second) = body.split_at(cut);
        assert_eq!(through(settings, &[first, second]), "write to me at example, $5 for $1", "cut at {cut}");
    }
}

#[test]
fn a_body_far_longer_than_what_is_held_back_comes_out_whole() {
    let settings = r#"{ "replace": { "regex": "b+", "with": "-" } }"#;
    let body = "aaabbbccc".repeat(20_000);
    let pieces: Vec<&str> = (0..body.len()).step_by(7_001).map(|at| &body[at..body.len().min(at + 7_001)]).collect();
    assert_eq!(through(settings, &pieces), "aaa-ccc".repeat(20_000));
}

#[test]
fn only_text_that_is_not_compressed_is_taken() {
    let rewrite = Harness::<BodyRewrite>::new(r#"{ "replace": { "text": "a", "with": "b" } }"#);
    for sent in [
        response(200).header("content-type", "image/png"),
        response(200),
        html().header("content-encoding", "gzip"),
        html().header("content-range", "bytes 0-1/2"),
        response(206).header("content-type", "text/html"),
    ] {
        assert_eq!(rewrite.on_response_body(sent, &[b"a"]).wanted(), "pass");
    }
    let after = rewrite.on_response_body(html().header("etag", "\"1\"").header("accept-ranges", "bytes"), &[b"a"]);
    assert_eq!((after.wanted(), after.head().header("etag"), after.head().header("accept-ranges")), ("transform", Some("W/\"1\""), None));
    let settings = r#"{ "replace": { "text": "a", "with": "b" }, "types": ["application/*"] }"#;
    let rewrite = Harness::<BodyRewrite>::new(settings);
    assert_eq!(rewrite.on_response_body(response(200).header("content-type", "Application/X"), &[b"a"]).body(), b"b");
}

#[test]
fn requests_are_rewritten_if_that_is_said() {
    let rewrite = Harness::<BodyRewrite>::new(r#"{ "replace": { "text": "a", "with": "b" }, "of": "request" }"#);
    let sent = request("POST", "/").header("content-type", "text/plain");
    assert_eq!(rewrite.on_request_body(sent, &[b"a", b"ca"]).body(), b"bcb");
    assert_eq!(rewrite.on_response_body(html(), &[b"a"]).body(), b"a");
}

#[test]
fn what_cannot_be_replaced_is_refused_with_its_place() {
    for (settings, place) in [
        (r#"{ "replace": [] }"#, "/replace"),
        (r#"{ "replace": { "with": "x" } }"#, "/replace"),
        (r#"{ "replace": { "text": "", "with": "x" } }"#, "/replace/text"),
        (r#"{ "replace": [{ "text": "a", "with": "x" }, { "regex": "(", "with": "x" }] }"#, "/replace/1/regex"),
        (r#"{ "replace": { "regex": "a*", "with": "x" } }"#, "/replace/regex"),
        (r#"{ "replace": { "regex": "^a", "with": "x" } }"#, "/replace/regex"),
        (r#"{ "replace": { "text": "a", "with": "x" }, "types": ["text"] }"#, "/types/0"),
    ] {
        assert_eq!(Harness::<BodyRewrite>::refused(settings)[0].path, place, "{settings}");
    }
}
