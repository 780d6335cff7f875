//! A decision that is remembered is the one that a fresh guest would make, whatever was asked before; and what may not be remembered is not.

use super::*;
use crate::config::BreakerSpec;
use proptest::prelude::*;

/// A pure guest that asks for the path and `user-agent`. What it answers depends on the path, and in the response phase on what
/// it saw of the request too: the first two letters of the path are kept in its memory and given back.
///
/// `/x…` traps in the request phase, `/y…` in the response phase; a status of 418 traps as well.
pub(super) fn keeps_the_path() -> Vec<u8> {
    let configure = "(i32.store8 (i32.const 1032) (i32.const 8))
        (i32.store (i32.const 1036) (i32.const 3000)) (i32.store (i32.const 1040) (i32.const 1))";
    let set = |name: i32, length: i32| {
        format!(
            "(i32.store8 (i32.const 8192) (i32.const 0))
             (i32.store offset=4 (i32.const 8192) (i32.const {name})) (i32.store offset=8 (i32.const 8192) (i32.const {length}))
             (i32.store (i32.const 2072) (i32.const 8192)) (i32.store (i32.const 2076) (i32.const 1))"
        )
    };
    let request = format!(
        "(i32.store16 (i32.const 4000) (i32.load16_u (local.get $path)))
         (if (i32.eq (i32.load8_u offset=1 (local.get $path)) (i32.const 120)) (then unreachable))
         {}
         (if (local.get $headers-length) (then (i64.store offset=12 align=4 (i32.const 8192) (i64.load offset=8 align=4 (local.get $headers))))
           (else (i32.store offset=12 (i32.const 8192) (local.get $path)) (i32.store offset=16 (i32.const 8192) (local.get $path-length))))
         (return (i32.const 2048))",
        set(3100, 5)
    );
    let response = format!(
        "(if (i32.eq (local.get 1) (i32.const 418)) (then unreachable))
         (if (i32.eq (i32.load8_u (i32.const 4001)) (i32.const 121)) (then unreachable))
         (i32.store8 (i32.const 4002) (i32.add (i32.const 48) (i32.rem_u (local.get 1) (i32.const 10))))
         {} (i32.store offset=12 (i32.const 8192) (i32.const 4000)) (i32.store offset=16 (i32.const 8192) (i32.const 3))
         (return (i32.const 2048))",
        set(3100, 5)
    );
    let data = r#"(data (i32.const 3000) "\c0\0b\00\00\0a\00\00\00") (data (i32.const 3008) "user-agent") (data (i32.const 3100) "x-saw")"#;
    raw(&[("(;CONFIGURE;)", configure), ("(;REQUEST;)", &request), ("(;RESPONSE;)", &response), ("(;DATA;)", data)])
}

fn with(bytes: &[u8], settings: serde_json::Value, isolation: Isolation, remember: Remember) -> Arc<Configured> {
    // Without a breaker: it counts faults, of which some cases are full, and not what is remembered.
    let breaker = BreakerSpec { faults: 0, ..BreakerSpec::default() };
    let grant = Grant { isolation: Some(isolation), remember, breaker, ..Grant::default() };
    sandbox().load(bytes, None).unwrap().configure_under(&settings, grant, "test").unwrap_or_else(|error| panic!("{error:?}"))
}

fn remembering(bytes: &[u8]) -> Arc<Configured> {
    let configured = with(bytes, serde_json::json!({}), Isolation::Request, Remember::default());
    assert_eq!(configured.remembers(), Ok(()));
    configured
}

fn forgetting(bytes: &[u8]) -> Arc<Configured> {
    let configured = with(bytes, serde_json::json!({}), Isolation::Request, Remember { wanted: false, secret: false });
    assert_eq!(configured.remembers(), Err(&Forgets::SwitchedOff));
    configured
}

/// What the two phases of one exchange come to.
fn both_phases(guests: &Guests, asked: &RequestHead, status: u16) -> String {
    let mut held = None;
    let told = |decided: Result<Decision, Fault>| match decided {
        Ok(decision) => (format!("{:?} {:?}", decision.verdict, decision.edits), true),
        Err(fault) => (format!("{:?}", fault.cause), false),
    };
    let (first, goes_on) = told(guests.on_request(&exchange(), asked, &mut held));
    if !goes_on {
        return first;
    }
    let answer = ResponseHead { status: StatusCode::from_u16(status).unwrap(), ..response() };
    format!("{first} | {}", told(guests.on_response(&exchange(), asked, &answer, &mut held)).0)
}

fn asked(path: &str, agent: Option<&str>) -> RequestHead {
    let mut headers = HeaderMap::new();
    if let Some(agent) = agent {
        headers.append("user-agent", HeaderValue::from_str(agent).unwrap());
    }
    RequestHead { path: path.into(), headers, ..request(None) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Few different exchanges, so that most are asked for again, among them some that fault.
    #[test]
    fn remembered_and_fresh_never_differ(exchanges in prop::collection::vec(("/[abxy]{1,2}", prop::option::of("[pq]"), prop_oneof![Just(200u16), Just(404), Just(418)]), 1..60)) {
        let bytes = keeps_the_path();
        let (ours, fresh) = (remembering(&bytes).for_worker(), forgetting(&bytes).for_worker());
        for (path, agent, status) in &exchanges {
            let asked = asked(path, agent.as_deref());
            prop_assert_eq!(both_phases(&ours, &asked, *status), both_phases(&fresh, &asked, *status));
        }
    }
}

#[test]
fn what_is_known_needs_no_guest() {
    let configured = remembering(&keeps_the_path());
    let guests = configured.for_worker();
    let first = both_phases(&guests, &asked("/a", None), 200);
    assert!(first.contains("\"/a\"") && first.contains("\"/a0\""), "{first}");
    let made = configured.counts().guests;
    for _ in 0..10 {
        assert_eq!(both_phases(&guests, &asked("/a", None), 200), first);
    }
    let counts = configured.counts();
    assert_eq!((counts.guests, counts.hits, counts.misses, counts.entries, counts.calls), (made, 20, 2, 2, 22));
    assert!(counts.entry_bytes > 0);
}

/// The request is known, the response is not: the guest that decides must have seen that request, not another.
#[test]
fn a_guest_for_the_response_alone_has_seen_the_request() {
    let configured = remembering(&keeps_the_path());
    let guests = configured.for_worker();
    both_phases(&guests, &asked("/a", None), 200);
    both_phases(&guests, &asked("/b", None), 200);
    assert!(both_phases(&guests, &asked("/a", None), 404).ends_with("\"/a4\")]"));
    assert!(both_phases(&guests, &asked("/b", None), 404).ends_with("\"/b4\")]"));
    // Same decision about the request, other inputs.
    assert!(both_phases(&guests, &asked("/c", Some("same")), 200).ends_with("\"/c0\")]"));
    assert!(both_phases(&guests, &asked("/d", Some("same")), 200).ends_with("\"/d0\")]"));
}

#[test]
fn faults_are_made_anew_each_time() {
    let configured = remembering(&keeps_the_path());
    let guests = configured.for_worker();
    for round in 1..=3 {
        assert_eq!(both_phases(&guests, &asked("/x", None), 200), "Trap");
        assert!(both_phases(&guests, &asked("/y", None), 200).ends_with("| Trap"));
        assert_eq!(configured.counts().trap, 2 * round);
    }
    assert_eq!(configured.counts().entries, 1, "that about the request for /y");
}

#[test]
fn a_decision_that_cannot_be_carried_out_is_forgotten() {
    let configured = remembering(&keeps_the_path());
    let guests = configured.for_worker();
    both_phases(&guests, &asked("/a", None), 200);
    guests.impossible("forwards to upstream \"nowhere\", which does not exist");
    assert_eq!((configured.counts().entries, configured.counts().entry_bytes), (0, 0));
}

/// `plan` that asks for these, as `raw.wat` lays it out: fields, a header name, all headers, an attribute.
fn asks_for(fields: u8, header: &str, all: bool, attribute: &str) -> Vec<u8> {
    let list = |at: u32, name: &str| {
        format!(
            "(i32.store (i32.const {at}) (i32.const {})) (i32.store (i32.const {}) (i32.const {}))",
            at + 1968,
            at + 4,
            u32::from(!name.is_empty())
        )
    };
    let configure = format!(
        "(i32.store8 (i32.const 1032) (i32.const {fields})) (i32.store8 (i32.const 1044) (i32.const {})) {} {}",
        u8::from(all),
        list(1036, header),
        list(1048, attribute)
    );
    let name = |at: u32, text: &str| {
        format!(r#"(data (i32.const {}) "\{:02x}\{:02x}\00\00\{:02x}\00\00\00")"#, at, (at + 400) & 255, (at + 400) >> 8, text.len())
            + &format!(r#"(data (i32.const {}) "{text}")"#, at + 400)
    };
    raw(&[
        ("(;CONFIGURE;)", &configure),
        ("(;DATA;)", &(name(3004, header) + &name(3016 + 100, attribute).replace("(i32.const 3116)", "(i32.const 3016)"))),
    ])
}

#[test]
fn what_is_secret_or_never_comes_again_is_not_remembered() {
    let why =
        |bytes: &[u8]| with(bytes, serde_json::json!({}), Isolation::Request, Remember::default()).remembers().map_err(ToString::to_string);
    assert_eq!(why(&asks_for(31, "accept", false, "client.ip")), Ok(()));
    for header in ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-session-token"] {
        assert!(why(&asks_for(0, header, false, "site")).unwrap_err().contains("secret"), "{header}");
    }
    for attribute in ["client.port", "request.id"] {
        assert!(why(&asks_for(0, "accept", false, attribute)).unwrap_err().contains("does not come again"), "{attribute}");
    }
    assert!(why(&asks_for(32, "accept", false, "site")).unwrap_err().contains("exchange"));
    assert!(why(&asks_for(0, "accept", true, "site")).unwrap_err().contains("all headers"));
    let secret = Remember { wanted: true, secret: true };
    assert_eq!(with(&keeps_the_path(), serde_json::json!({}), Isolation::Request, secret).remembers(), Err(&Forgets::Settings));
    let kept = with(&keeps_the_path(), serde_json::json!({}), Isolation::Worker, Remember::default());
    assert_eq!(kept.remembers(), Err(&Forgets::Reused));
}

/// It sets a cookie by itself: that is for one client.
#[test]
fn a_credential_in_a_decision_is_not_remembered() {
    let bytes = keeps_the_path();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("x-saw"));
    let named = |name: &str| {
        assert_eq!(name.len(), 6);
        let at = bytes.windows(5).position(|window| window == b"x-saw").unwrap();
        let mut bytes = bytes.clone();
        // A name of the same length, so that the file stays well formed.
        bytes[at..at + 5].copy_from_slice(&name.as_bytes()[..5]);
        bytes
    };
    let configured = remembering(&named("token "));
    let guests = configured.for_worker();
    for _ in 0..2 {
        both_phases(&guests, &asked("/a", None), 200);
    }
    assert_eq!((configured.counts().entries, configured.counts().hits), (0, 0));
    let configured = remembering(&named("x-tok "));
    let guests = configured.for_worker();
    both_phases(&guests, &asked("/a", None), 200);
    assert_eq!(configured.counts().entries, 2);
}

/// Everything that WASI has here, function by function: what is not known to be constant ends purity.
#[test]
fn purity_is_decided_by_each_import() {
    let import = |name: &str, items: &[&str], standing| Import {
        name: name.to_owned(),
        items: items.iter().map(ToString::to_string).collect(),
        standing,
    };
    let impure = |import: Import| super::super::remembered::impurity(&[import]);
    for (name, item) in [
        ("wasi:clocks/monotonic-clock@0.2.6", "now"),
        ("wasi:clocks/wall-clock@0.2.6", "now"),
        ("wasi:random/random@0.2.6", "get-random-u64"),
        ("wasi:random/insecure@0.2.6", "get-insecure-random-u64"),
        ("wasi:sockets/tcp@0.2.6", "connect"),
    ] {
        assert_eq!(impure(import(name, &[item], Standing::Stub)), Some(format!("`{item}` of `{name}`")));
    }
    for capability in Capability::ALL {
        let name = format!("portcullis:plugin/{}@0.1.0", capability.interface());
        assert!(impure(import(&name, &["f"], Standing::Capability(capability))).is_some(), "{name}");
    }
    for (name, item) in [("wasi:cli/environment@0.2.6", "get-environment"), ("wasi:random/insecure-seed@0.2.6", "insecure-seed")] {
        assert_eq!(impure(import(name, &[item], Standing::Stub)), None);
    }
    assert_eq!(impure(import("portcullis:plugin/types@0.1.0", &[], Standing::Types)), None);
    assert_eq!(sandbox().load(bundled::bundled("headers").unwrap(), None).unwrap().impure(), None);
}

#[test]
fn what_sees_little_is_remembered_unless_it_is_said_otherwise() {
    let chosen = |settings: serde_json::Value| {
        let plugin = sandbox().load(bundled::bundled("headers").unwrap(), None).unwrap();
        let configured = plugin.configure_under(&settings, Grant::default(), "test").unwrap_or_else(|error| panic!("{error:?}"));
        configured.remembers().is_ok()
    };
    assert!(chosen(serde_json::json!({ "response": { "set": { "x-served-by": "edge" } } })));
    assert!(chosen(serde_json::json!({ "request": { "set": { "x-scheme": "{request.scheme}", "x-site": "{site}" } } })));
    for placeholder in ["{request.path}", "{client.ip}", "{request.header.accept}", "{request.header.cookie}", "{request.id}"] {
        assert!(!chosen(serde_json::json!({ "request": { "set": { "x-a": placeholder } } })), "{placeholder}");
    }
}
