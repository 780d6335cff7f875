//! A plain std guest that does what its settings say: `{ "do": "…" }`. Most of it is misbehaviour, one name for each kind; `std`
//! uses what ordinary Rust code uses, to prove that the proxy's WASI is enough for it.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::portcullis::plugin::{lifecycle, on_request, on_response};
use portcullis::plugin::types::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;

struct Guest;

thread_local! {
    static DO: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLS: RefCell<u32> = const { RefCell::new(0) };
}

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"behave","version":"1.2.3","description":"Does what it is told","settings":{"type":"object","properties":{"do":{"type":"string"}}}}"#.into()
    }

    fn configure(settings: String) -> Result<Plan, Vec<Problem>> {
        let what = settings.split('"').nth(3).unwrap_or("next").to_owned();
        match &*what {
            "loop-configure" => spin(),
            "trap-configure" => panic!("secret: hunter2"),
            "refuse" => return Err(vec![Problem { path: "/do".into(), message: "must not be `refuse`".into() }]),
            "warn" => {}
            _ => {}
        }
        let bad_interest = what == "bad-interest";
        let headers = if bad_interest { vec!["user agent".into()] } else { vec!["user-agent".into()] };
        let warnings = if what == "warn" { vec![Problem { path: "".into(), message: "careful".into() }] } else { vec![] };
        if what == "light" {
            DO.set(what);
            let only = |name: &str| vec![name.to_owned()];
            let request = RequestInterest {
                fields: RequestFields::empty(),
                headers: only("user-agent"),
                all_headers: false,
                attributes: vec![],
            };
            let response = ResponseInterest { exchange: false, headers: only("server"), all_headers: false, attributes: vec![] };
            return Ok(Plan { request: Some(request), response: Some(response), warnings: vec![] });
        }
        let request = RequestInterest {
            fields: RequestFields::all(),
            headers: headers.clone(),
            all_headers: what == "all-headers",
            attributes: vec!["client.ip".into(), "tenant".into()],
        };
        let response = ResponseInterest {
            exchange: true,
            headers,
            all_headers: what == "all-headers",
            attributes: vec!["request.path".into(), "log.seen".into()],
        };
        let only = |phase: &str| !what.ends_with("-only") || what.starts_with(phase);
        DO.set(what.clone());
        Ok(Plan { request: only("request").then_some(request), response: only("response").then_some(response), warnings })
    }
}

impl on_request::Guest for Guest {
    fn on_request(exchange: u64, head: RequestHead) -> Decision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        let what = DO.with_borrow(Clone::clone);
        if what == "light" {
            return append_if_seen(&head.headers, "user-agent");
        }
        // Misbehave only for exchanges that ask for it, so that a test can see the next one served.
        if what.starts_with("if-asked:") && head.query.as_deref() != Some("now") {
            return next(vec![]);
        }
        match what.strip_prefix("if-asked:").unwrap_or(&what) {
            "loop-request" => spin(),
            "recurse" => {
                black_box(recurse(black_box(1)));
                next(vec![])
            }
            "bomb" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    black_box(&hoard);
                }
            }
            "trap-request" => panic!("secret: hunter2"),
            "exit" => std::process::exit(3),
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                next(vec![])
            }
            "big-reply" => decide(Verdict::Reply(Reply { status: 200, headers: vec![], body: vec![b'x'; (1 << 20) + 1] })),
            "many-edits" => next((0..257).map(|n| Edit::SetHeader(header(&format!("x-{n}"), b"1"))).collect()),
            "big-edits" => next((0..17).map(|n| Edit::SetHeader(header(&format!("x-{n}"), &[b'1'; 64 << 10]))).collect()),
            "bad-name" => next(vec![Edit::SetHeader(header("x y", b"1"))]),
            "injection" => next(vec![Edit::SetHeader(header("x-a", b"1\r\nset-cookie: admin=1"))]),
            "forbidden" => next(vec![Edit::SetHeader(header("transfer-encoding", b"chunked"))]),
            "forbidden-reply" => {
                decide(Verdict::Reply(Reply { status: 200, headers: vec![header("content-length", b"7")], body: vec![] }))
            }
            "bad-status" => decide(Verdict::Reply(Reply { status: 101, headers: vec![], body: vec![] })),
            "bad-method" => next(vec![Edit::SetMethod("G T".into())]),
            "bad-path" => next(vec![Edit::SetPath("/a b".into())]),
            "bad-query" => next(vec![Edit::SetQuery(Some("a#b".into()))]),
            "bad-authority" => next(vec![Edit::SetAuthority("user@evil".into())]),
            "reserved-attribute" => next(vec![Edit::SetAttribute(Attribute { name: "client.ip".into(), value: "::1".into() })]),
            "forward" => decide(Verdict::Forward("canary".into())),
            "forward-unknown" => decide(Verdict::Forward("nowhere".into())),
            "abort" => decide(Verdict::Abort),
            "print" => {
                println!("hello from the guest\u{7}");
                eprintln!("and to stderr");
                next(vec![])
            }
            "print-much" => {
                for n in 0..1_000_000 {
                    println!("line {n}");
                }
                next(vec![])
            }
            "std" => std_things(),
            "count" => {
                let calls = CALLS.with_borrow(|calls| calls.to_string());
                next(vec![Edit::SetHeader(header("x-calls", calls.as_bytes()))])
            }
            "all-edits" => next(vec![
                Edit::SetHeader(header("X-Set", b" trimmed\t")),
                Edit::AppendHeader(header("x-add", b"1")),
                Edit::RemoveHeader("cookie".into()),
                Edit::SetMethod("POST".into()),
                Edit::SetAuthority("Other.Example:8080".into()),
                Edit::SetPath("/new".into()),
                Edit::SetQuery(None),
                Edit::SetAttribute(Attribute { name: "log.seen".into(), value: "yes".into() }),
            ]),
            "reply" => decide(Verdict::Reply(Reply {
                status: 403,
                headers: vec![header("content-type", b"text/plain")],
                body: b"no".to_vec(),
            })),
            _ => next(vec![Edit::SetHeader(header("x-request", seen(exchange, &head).as_bytes()))]),
        }
    }
}

impl on_response::Guest for Guest {
    fn on_response(exchange: u64, head: ResponseHead) -> Decision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        match &*DO.with_borrow(Clone::clone) {
            "light" => append_if_seen(&head.headers, "server"),
            "loop-response" => spin(),
            "trap-response" => panic!("secret: hunter2"),
            "forward-response" => decide(Verdict::Forward("canary".into())),
            "path-response" => next(vec![Edit::SetPath("/x".into())]),
            "count" => {
                let calls = CALLS.with_borrow(|calls| calls.to_string());
                next(vec![Edit::SetHeader(header("x-calls", calls.as_bytes()))])
            }
            _ => {
                let text = format!("{exchange} {} [{}] {}", head.status, headers(&head.headers), attributes(&head.attributes));
                next(vec![Edit::SetHeader(header("x-response", text.as_bytes()))])
            }
        }
    }
}

export!(Guest);

/// What the guest `light` does, in std: for benchmarks.
fn append_if_seen(headers: &[Header], name: &str) -> Decision {
    let seen = headers.iter().any(|header| header.name == name);
    next(if seen { vec![Edit::AppendHeader(header("x-filter-tag", b"seen-by-filter-1"))] } else { vec![] })
}

fn header(name: &str, value: &[u8]) -> Header {
    Header { name: name.into(), value: value.into() }
}

fn next(edits: Vec<Edit>) -> Decision {
    Decision { verdict: Verdict::Next, edits }
}

fn decide(verdict: Verdict) -> Decision {
    Decision { verdict, edits: vec![] }
}

/// Everything the guest was shown, as one line.
fn seen(exchange: u64, head: &RequestHead) -> String {
    let RequestHead { method, scheme, authority, path, query, .. } = head;
    let query = query.as_deref().unwrap_or("-");
    format!("{exchange} {method} {scheme} {authority} {path} {query} [{}] {}", headers(&head.headers), attributes(&head.attributes))
}

fn headers(headers: &[Header]) -> String {
    headers.iter().map(|h| format!("{}={}", h.name, String::from_utf8_lossy(&h.value))).collect::<Vec<_>>().join(",")
}

fn attributes(attributes: &[Attribute]) -> String {
    attributes.iter().map(|a| format!("{}={}", a.name, a.value)).collect::<Vec<_>>().join(",")
}

/// What ordinary code does without thinking of WASI.
fn std_things() -> Decision {
    let mut map = HashMap::new();
    for n in 0..100 {
        map.insert(format!("key-{n}"), n);
    }
    let sum: i32 = map.values().sum();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let started = std::time::Instant::now();
    let later = started.elapsed().as_nanos() < 1_000_000_000;
    let env = std::env::vars().count() + std::env::var("HOME").is_ok() as usize + std::env::args().count();
    let file = std::fs::read("/etc/passwd").is_err();
    let mut line = String::new();
    let stdin = std::io::stdin().read_line(&mut line).unwrap_or(0);
    println!("sum {sum}");
    let text = format!("{sum} {} {later} {env} {file} {stdin}", now > 1_700_000_000);
    next(vec![Edit::SetHeader(header("x-std", text.as_bytes()))])
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

#[allow(unconditional_recursion, reason = "that is the misbehaviour")]
fn recurse(n: u64) -> u64 {
    let frame = black_box([n; 64]);
    recurse(n + 1) + frame[(n % 64) as usize]
}
