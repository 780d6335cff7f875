//! What a light filter costs: `cargo bench -p portcullis --bench chain`. Prints ns per link and phase, the walk included.
//!
//! The filter (`tests/guests/light`) reads one header and appends one, in each phase. The goals are 350 ns with `isolate = "worker"`, 4,000 ns
//! with `"request"`, and 120 ns remembered. `tag` is the one of `cargo xtask bench`, made with the SDK: it reads a header of the request and appends one to the response; `mark` does as `light`, made with the SDK.
//! `crowd` has up to 64 exchanges between their phases, asked and answered in bursts, as a busy worker's are; with `"request"` that many guests
//! live at once, so that their memory is not all in the cache, and then none. Where a request has no response, its guest is thrown away: under
//! `request` the first column is of guests that are made anew, and the last of guests that are set back, so that their difference says nothing. The first line is a yardstick: what one append of a header costs on this machine, now, in the host alone.

mod bare;

use bare::{at_once, built, exchange, quiet};
use portcullis::chain::{Bodiless, Chain, Course, Link, Stretches, Walk};
use portcullis::config::{Isolation, LinkOrigin, PluginName, PluginRef};
use portcullis::message::{Exchange, Reply, RequestHead, ResponseHead, Scheme};
use portcullis::sandbox::{Grant, Guests, Plugin, Remember, Sandbox, SandboxOptions};
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

const NAMES: [&str; 20] = [
    "host-alias",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "cookie",
    "referer",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "authorization",
    "cache-control",
    "content-type",
    "if-none-match",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-dest",
    "traceparent",
    "origin",
    "x-custom",
];

fn main() {
    let sandbox = Sandbox::new(&SandboxOptions::default()).expect("a sandbox");
    yardstick();
    println!("{:<12} {:<10} {:>5} {:>12} {:>12} {:>12}", "guest", "decided by", "links", "request", "response", "ns per phase");
    // `light worker`: only those.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let skip = |words: [&str; 3]| wanted.iter().any(|word| !words.contains(&word.as_str()));
    for (guest, folder) in GUESTS.into_iter().zip(["tests/guests", "xtask/bench/guests", "xtask/bench/guests", "tests/guests"]) {
        if wanted.iter().any(|word| GUESTS.contains(&word.as_str()) && word != guest) {
            continue;
        }
        let plugin = sandbox.load_file(&built(guest, folder), None).expect("a plugin");
        for (how, name) in [(How::Worker, "worker"), (How::Request, "request"), (How::Remembered, "remembered")] {
            for links in [1, 5, 10] {
                if !skip([guest, name, "alone"]) {
                    measure((guest, name), || filters(guest, &plugin, how, links));
                }
                if !skip([guest, name, "crowd"]) {
                    crowd((guest, name), || filters(guest, &plugin, how, links));
                }
            }
        }
    }
}

/// The response's way, which no link ends.
fn back(walk: &mut Walk<'_, Guests>, exchange: &mut Exchange, request: &RequestHead, answer: &mut ResponseHead) {
    let fail = |_| -> Reply { unreachable!() };
    let walked = at_once(walk.on_response(exchange, request, answer, &mut Bodiless, |_, fault| panic!("{fault:?}"), fail));
    assert!(walked.is_ok());
}

fn yardstick() {
    let mut headers = headers(&NAMES);
    let append = quiet(|| {
        let name = http::HeaderName::from_bytes(black_box(b"x-filter-tag")).expect("a name");
        let value = http::HeaderValue::from_bytes(black_box(b"seen-by-filter-1")).expect("a value");
        headers.append(name, value);
        headers.remove("x-filter-tag");
    });
    println!("yardstick: {append:.0} ns to parse, append and remove one header");
}

const GUESTS: [&str; 4] = ["light", "mark", "tag", "behave"];

/// Where a decision comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// A guest that is kept.
    Worker,
    /// A fresh guest, or one that was set back.
    Request,
    /// The same, remembered: every exchange of these benchmarks is the same.
    Remembered,
}

fn filters(guest: &str, plugin: &Arc<Plugin>, how: How, links: usize) -> Vec<Rc<Guests>> {
    // `behave` (std) told to look at nothing but one header, as far as it can be.
    let settings = if guest == "tag" || guest == "mark" {
        serde_json::json!({ "header": "x-filter-tag" })
    } else {
        serde_json::json!({ "do": "light" })
    };
    let one = |_| {
        let isolation = if how == How::Worker { Isolation::Worker } else { Isolation::Request };
        let remember = Remember { wanted: how == How::Remembered, secret: false };
        let made = plugin.configure_under(&settings, Grant { isolation: Some(isolation), remember, ..Grant::default() }, guest);
        let made = made.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(how != How::Remembered || made.remembers().is_ok(), "{guest} is not remembered");
        made.for_worker().into()
    };
    (0..links).map(one).collect()
}

/// Only both phases together: between them the others have theirs.
fn crowd((guest, how): (&str, &str), filters: impl Fn() -> Vec<Rc<Guests>>) {
    const AT_ONCE: usize = 64;
    let filters = filters();
    let links = filters.len();
    let chain = Chain { links: (0..links).map(link).collect() };
    // As in the proxy: what is remembered of links one after the other is remembered together.
    let stretches = Stretches::of(&chain, &filters);
    let (mut exchange, mut head, mut answer) = (exchange(), request(), response());
    let tag = http::HeaderName::from_static("x-filter-tag");
    let mut walks: VecDeque<Walk<'_, Guests>> = VecDeque::new();
    let both = quiet(|| {
        let mut walk = Walk::new(&chain, &filters).along(&stretches);
        let course = at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, |_, fault| panic!("{fault:?}")));
        assert!(matches!(course, Course::Onward));
        walks.push_back(walk);
        head.headers.remove(&tag);
        if walks.len() == AT_ONCE {
            while let Some(mut walk) = walks.pop_front() {
                back(&mut walk, &mut exchange, &head, &mut answer);
                answer.headers.remove(&tag);
            }
        }
    });
    println!("{guest:<12} {how:<10} {links:>5} {:>12} {:>12} {:>12.0}  crowd", "", "", both / links as f64 / 2.0);
}

fn measure((guest, how): (&str, &str), filters: impl Fn() -> Vec<Rc<Guests>>) {
    let filters = filters();
    let links = filters.len();
    let chain = Chain { links: (0..links).map(link).collect() };
    // As in the proxy: what is remembered of links one after the other is remembered together.
    let stretches = Stretches::of(&chain, &filters);
    let (mut exchange, mut head, mut answer) = (exchange(), request(), response());
    let tag = http::HeaderName::from_static("x-filter-tag");

    let reset = quiet(|| {
        black_box(&mut head).headers.remove(&tag);
    });
    let request = quiet(|| {
        let mut walk = Walk::new(&chain, &filters).along(&stretches);
        let course = at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, |_, fault| panic!("{fault:?}")));
        assert!(matches!(course, Course::Onward));
        drop(walk);
        head.headers.remove(&tag);
    }) - reset;
    let both = quiet(|| {
        let mut walk = Walk::new(&chain, &filters).along(&stretches);
        let course = at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, |_, fault| panic!("{fault:?}")));
        assert!(matches!(course, Course::Onward));
        back(&mut walk, &mut exchange, &head, &mut answer);
        head.headers.remove(&tag);
        answer.headers.remove(&tag);
    }) - 2.0 * reset;
    let each = links as f64;
    let response = if how == "request" { "-".to_owned() } else { format!("{:.0}", (both - request) / each) };
    println!("{guest:<12} {how:<10} {links:>5} {:>12.0} {response:>12} {:>12.0}", request / each, both / each / 2.0);
}

fn link(filter: usize) -> Link {
    bare::link(filter, format!("light-{filter}"), PluginRef::Declared(PluginName("light".into())), LinkOrigin::Route)
}

fn headers(names: &[&'static str]) -> http::HeaderMap {
    let mut headers = http::HeaderMap::with_capacity(32);
    for (index, name) in names.iter().enumerate() {
        let value = format!("{:.<width$}", format!("value-of-{name}"), width = 16 + (index * 7) % 64);
        headers.append(*name, http::HeaderValue::from_str(&value).expect("a value"));
    }
    headers
}

fn request() -> RequestHead {
    RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Https,
        authority: "shop.example.com".into(),
        path: "/api/v1/users/12345/orders".into(),
        query: Some("page=2&sort=asc".into()),
        headers: {
            let mut headers = headers(&NAMES);
            headers.append("x-bench-key", http::HeaderValue::from_static("good"));
            headers
        },
    }
}

fn response() -> ResponseHead {
    ResponseHead { status: http::StatusCode::OK, headers: headers(&["server", "date", "content-type", "etag", "cache-control", "vary"]) }
}
