//! The sandbox against guests of every kind: `tests/guests` (Rust) and `tests/guests/raw.wat` (what no compiler would make).

mod across;
mod connections;
mod corpus;
mod direct;
mod going_out;
mod loading;
mod misbehaviour;
mod one_block;
mod remembered;
mod renewal;
mod serving;
mod stretch;

use super::*;
use crate::chain::{Cause, Decision, Edit, Fault, Filter, Verdict};
use crate::config::{FailPolicy, FailurePolicy, GuestLimits, Isolation};
use crate::message::{Connection, Exchange, ExchangeId, RequestHead, ResponseHead, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One engine for all tests: a pool of its own for each would be slow.
fn sandbox() -> &'static Sandbox {
    static ONE: OnceLock<Sandbox> = OnceLock::new();
    ONE.get_or_init(|| Sandbox::new(&SandboxOptions { cache: None, guests: 128 }).unwrap())
}

/// A guest of `tests/guests`, built when it is not fresh.
fn guest(name: &str) -> Vec<u8> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let target = repository().join("target/guests");
        let mut cargo = std::process::Command::new(env!("CARGO"));
        // Flags meant for the machine we run on are not meant for guests.
        for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS"] {
            cargo.env_remove(flags);
        }
        let done = cargo
            .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(repository().join("tests/guests"))
            .status()
            .unwrap();
        assert!(done.success(), "tests/guests did not build");
        target.join("wasm32-wasip2/release")
    });
    std::fs::read(dir.join(format!("guest_{name}.wasm"))).unwrap()
}

/// `raw.wat` with its marks replaced.
fn raw(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut text = std::fs::read_to_string(repository().join("tests/guests/raw.wat")).unwrap();
    for (mark, code) in changes {
        assert!(text.contains(mark), "no {mark} in raw.wat");
        text = text.replace(mark, code);
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn configure_with(
    bytes: &[u8],
    settings: serde_json::Value,
    limits: GuestLimits,
    isolation: Isolation,
) -> Result<Arc<Configured>, ConfigureError> {
    let fail = FailurePolicy { overload: FailPolicy::Open, ..FailurePolicy::default() };
    sandbox().load(bytes, None).unwrap().configure(&settings, limits, isolation, fail, "test")
}

/// The default limits, but for more CPU than a call on a loaded machine ever takes.
fn patient() -> GuestLimits {
    GuestLimits { cpu: std::time::Duration::from_secs(1), ..GuestLimits::default() }
}

/// `behave` told to do this.
fn behave(what: &str, isolation: Isolation) -> Guests {
    let settings = serde_json::json!({ "do": what });
    configure_with(&guest("behave"), settings, patient(), isolation).unwrap().for_worker()
}

/// `raw.wat` under those limits.
fn lie(changes: &[(&str, &str)]) -> Guests {
    configure_with(&raw(changes), serde_json::json!({}), patient(), Isolation::Worker).unwrap().for_worker()
}

fn exchange() -> Exchange {
    let connection = Connection::new("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:443".parse().unwrap());
    Exchange {
        id: ExchangeId(7),
        connection: Rc::new(connection),
        client: "192.0.2.17".parse().unwrap(),
        client_port: 4000,
        version: Version::HTTP_11,
        site: "example.com".into(),
        route: "/*".into(),
        upstream: None,
        attributes: Default::default(),
        trace: None,
    }
}

fn request(query: Option<&str>) -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.append("user-agent", HeaderValue::from_static("curl/8"));
    headers.append("cookie", HeaderValue::from_static("a=1"));
    headers.append("user-agent", HeaderValue::from_bytes(b"second\xff").unwrap());
    RequestHead {
        method: Method::GET,
        scheme: Scheme::Https,
        authority: "example.com".into(),
        path: "/a/b".into(),
        query: query.map(Into::into),
        headers,
    }
}

fn response() -> ResponseHead {
    let mut headers = HeaderMap::new();
    headers.append("server", HeaderValue::from_static("origin"));
    headers.append("content-length", HeaderValue::from_static("5"));
    ResponseHead { status: StatusCode::OK, headers }
}

fn on_request(guests: &Guests) -> Result<Decision, Fault> {
    guests.on_request(&exchange(), &request(Some("now")), &mut None)
}

fn on_response(guests: &Guests) -> Result<Decision, Fault> {
    guests.on_response(&exchange(), &request(None), &response(), &mut None)
}

/// The value of the one header that a decision sets.
fn set_header(decision: &Decision) -> String {
    match &decision.edits[..] {
        [Edit::SetHeader(_, value)] => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        other => panic!("{other:?}"),
    }
}

fn is_next(decision: &Decision) -> bool {
    matches!(decision.verdict, Verdict::Next) && decision.edits.is_empty()
}
