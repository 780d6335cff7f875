//! A plain std guest that does with bodies what its settings say: `{ "do": "…" }`, for requests if that begins with `request:`, else for
//! responses. Only of text if the settings say so: `…;text`. Much of it is misbehaviour, one name for each kind.

wit_bindgen::generate!({ path: "../../../wit", world: "body-plugin" });

use exports::portcullis::plugin::{bodies, lifecycle, on_request, on_request_body, on_response, on_response_body};
use portcullis::plugin::types::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;

struct Guest;

#[derive(Default)]
struct Body {
    pieces: u32,
    bytes: u64,
    held: Vec<u8>,
}

thread_local! {
    static DO: RefCell<String> = const { RefCell::new(String::new()) };
    static OPEN: RefCell<HashMap<u64, Body>> = RefCell::default();
}

fn what() -> String {
    DO.with_borrow(Clone::clone)
}

fn of_request() -> bool {
    what().starts_with("request:")
}

/// What to do, without for whom.
fn deed() -> String {
    let what = what();
    let what = what.strip_prefix("request:").unwrap_or(&what);
    what.split(';').next().unwrap_or_default().to_owned()
}

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"bodies","version":"1.0.0","settings":{"type":"object","properties":{"do":{"type":"string"}}}}"#.into()
    }

    fn configure(settings: String) -> Result<Plan, Vec<Problem>> {
        DO.set(settings.split('"').nth(3).unwrap_or("pass").to_owned());
        Ok(Plan { request: None, response: None, warnings: vec![] })
    }
}

impl on_request::Guest for Guest {
    fn on_request(_: u64, _: RequestHead) -> Decision {
        Decision { verdict: Verdict::Next, edits: vec![] }
    }
}

impl on_response::Guest for Guest {
    fn on_response(_: u64, _: ResponseHead) -> Decision {
        Decision { verdict: Verdict::Next, edits: vec![] }
    }
}

impl bodies::Guest for Guest {
    fn plan_bodies() -> BodyPlan {
        let headers = vec!["content-type".to_owned()];
        let attributes = vec![];
        let request = RequestInterest { fields: RequestFields::METHOD, headers: headers.clone(), all_headers: false, attributes: vec![] };
        let response = ResponseInterest { exchange: false, headers, all_headers: false, attributes };
        BodyPlan { request: of_request().then_some(request), response: (!of_request()).then_some(response) }
    }

    fn release(exchange: u64) {
        OPEN.with_borrow_mut(|open| open.remove(&exchange));
    }
}

fn header(name: &str, value: impl ToString) -> Header {
    Header { name: name.to_owned(), value: value.to_string().into_bytes() }
}

fn begin(exchange: u64, headers: &[Header], length: Option<u64>) -> BodyStart {
    let text = headers.iter().any(|header| header.name == "content-type" && header.value.starts_with(b"text/"));
    if what().ends_with(";text") && !text {
        return BodyStart { want: BodyWant::Pass, edits: vec![] };
    }
    OPEN.with_borrow_mut(|open| open.insert(exchange, Body::default()));
    let open = OPEN.with_borrow(HashMap::len);
    let mut edits = vec![Edit::SetHeader(header("x-open", open)), Edit::SetHeader(header("x-known", format!("{length:?}")))];
    let want = match &*deed() {
        "pass" => BodyWant::Pass,
        "trap-begin" => panic!("secret: hunter2"),
        "watch" | "watch-trap" | "watch-trap-end" => BodyWant::Watch,
        "buffer" | "buffer-reply" | "buffer-trap" | "buffer-replace" => BodyWant::Buffer(1000),
        "buffer-much" => BodyWant::Buffer(u32::MAX),
        _ => BodyWant::Transform,
    };
    if deed().ends_with("-quiet") {
        edits.clear();
    }
    BodyStart { want, edits }
}

fn count(exchange: u64, bytes: &[u8]) -> u32 {
    OPEN.with_borrow_mut(|open| {
        let body = open.get_mut(&exchange).expect("an exchange that began and was not released");
        body.pieces += 1;
        body.bytes += bytes.len() as u64;
        body.pieces
    })
}

fn watch(exchange: u64, bytes: &[u8]) {
    let pieces = count(exchange, bytes);
    if deed() == "watch-trap" && pieces > 1 {
        panic!("secret: hunter2");
    }
}

fn keep(start: u32, length: u32) -> BodyPiece {
    BodyPiece::Keep(BodyRange { start, length })
}

fn transform(exchange: u64, bytes: &[u8]) -> BodyOutput {
    let pieces = count(exchange, bytes);
    let all = || vec![keep(0, bytes.len() as u32)];
    let done = |pieces| BodyOutput { pieces, more: false };
    match &*deed() {
        "upper" => done(vec![BodyPiece::Bytes(bytes.to_ascii_uppercase())]),
        "keep" | "trailers" => done(all()),
        "double" => done(vec![keep(0, bytes.len() as u32), BodyPiece::Bytes(bytes.to_vec())]),
        "withhold" => {
            OPEN.with_borrow_mut(|open| open.entry(exchange).or_default().held.extend_from_slice(bytes));
            done(vec![])
        }
        "swallow" => done(vec![]),
        "trap-later" | "trap-later-quiet" if pieces > 1 => panic!("secret: hunter2"),
        "trap-later" | "trap-later-quiet" => done(all()),
        "changed-trap-quiet" if pieces > 1 => panic!("secret: hunter2"),
        "changed-trap-quiet" => done(vec![BodyPiece::Bytes(bytes.to_ascii_uppercase())]),
        "trap-first" => panic!("secret: hunter2"),
        "loop" => loop {
            black_box(());
        },
        "bomb" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
                black_box(&hoard);
            }
        }
        // 1 GiB for every piece.
        "flood" => BodyOutput { pieces: vec![BodyPiece::Bytes(vec![b'x'; 1 << 20])], more: pieces < 1024 },
        "too-much" => done(vec![BodyPiece::Bytes(vec![b'x'; (4 << 20) + 1])]),
        "more-nothing" => BodyOutput { pieces: vec![], more: true },
        "lie" => done(vec![keep(0, bytes.len() as u32 + 1)]),
        "twice" => done(vec![keep(0, 1), keep(0, 1)]),
        _ => done(all()),
    }
}

fn end(exchange: u64, trailers: &[Header]) -> BodyEnd {
    let (pieces, bytes, held) = OPEN.with_borrow_mut(|open| {
        let body = open.get_mut(&exchange).expect("an exchange that began and was not released");
        (body.pieces, body.bytes, std::mem::take(&mut body.held))
    });
    let nothing = || BodyEnd { pieces: vec![], edits: vec![] };
    match &*deed() {
        "withhold" => BodyEnd { pieces: vec![BodyPiece::Bytes(held)], edits: vec![] },
        "trailers" => {
            let seen = trailers.iter().map(|line| line.name.clone()).collect::<Vec<_>>().join(",");
            let edits = [("x-pieces", pieces.to_string()), ("x-bytes", bytes.to_string()), ("x-seen", seen)];
            BodyEnd { pieces: vec![], edits: edits.map(|(name, value)| Edit::SetHeader(header(name, value))).into() }
        }
        "watch-trap-end" | "trap-end" => panic!("secret: hunter2"),
        "range-end" => BodyEnd { pieces: vec![keep(0, 1)], edits: vec![] },
        _ => nothing(),
    }
}

fn whole(bytes: &[u8]) -> BodyDecision {
    let edits = vec![Edit::SetHeader(header("x-whole", bytes.len()))];
    match &*deed() {
        "buffer-reply" => {
            let body = format!("{} bytes are not welcome\n", bytes.len()).into_bytes();
            BodyDecision { verdict: Verdict::Reply(Reply { status: 418, headers: vec![], body }), edits, body: None }
        }
        "buffer-trap" => panic!("secret: hunter2"),
        "buffer-replace" => BodyDecision { verdict: Verdict::Next, edits, body: Some(bytes.iter().rev().copied().collect()) },
        _ => BodyDecision { verdict: Verdict::Next, edits, body: None },
    }
}

impl on_request_body::Guest for Guest {
    fn begin(exchange: u64, head: RequestHead, length: Option<u64>) -> BodyStart {
        begin(exchange, &head.headers, length)
    }

    fn watch(exchange: u64, bytes: Vec<u8>) {
        watch(exchange, &bytes);
    }

    fn transform(exchange: u64, bytes: Vec<u8>) -> BodyOutput {
        transform(exchange, &bytes)
    }

    fn end(exchange: u64, trailers: Vec<Header>) -> BodyEnd {
        end(exchange, &trailers)
    }

    fn whole(_: u64, bytes: Vec<u8>, _: Vec<Header>) -> BodyDecision {
        whole(&bytes)
    }
}

impl on_response_body::Guest for Guest {
    fn begin(exchange: u64, head: ResponseHead, length: Option<u64>) -> BodyStart {
        begin(exchange, &head.headers, length)
    }

    fn watch(exchange: u64, bytes: Vec<u8>) {
        watch(exchange, &bytes);
    }

    fn transform(exchange: u64, bytes: Vec<u8>) -> BodyOutput {
        transform(exchange, &bytes)
    }

    fn end(exchange: u64, trailers: Vec<Header>) -> BodyEnd {
        end(exchange, &trailers)
    }

    fn whole(_: u64, bytes: Vec<u8>, _: Vec<Header>) -> BodyDecision {
        whole(&bytes)
    }
}

export!(Guest);
