//! Components that were built against the contract as it was at their time: each must load and run in every phase, whatever came since.
//! `tests/corpus/README.md` says how each was made.

use super::connections::{ENDING, arrival, hello};
use super::*;
use crate::chain::{Called, ConnectionFilter, Hello, Hold, Output, Part, Want, Way};
use crate::message::{Admission, Arrival, Refusal, Reply};
use crate::observe::metrics::PluginMetrics;
use http_body_util::{BodyExt, Empty};
use std::collections::BTreeSet;
use tokio::sync::mpsc;

fn corpus() -> PathBuf {
    repository().join("tests/corpus")
}

fn kept(name: &str, settings: serde_json::Value, rights: Rights) -> Guests {
    let plugin = sandbox().load_file(&corpus().join(name), None).unwrap_or_else(|error| panic!("{name}: {error}"));
    let grant = Grant { limits: patient(), isolation: Some(Isolation::Worker), rights: Arc::new(rights), ..Grant::default() };
    let configured = plugin.configure_under(&settings, grant, name);
    let (errands, mut asked) = mpsc::unbounded_channel::<(Errand, Answering)>();
    let guests = configured.unwrap_or_else(|error| panic!("{name}: {error:?}")).on_worker(Some(errands));
    // Whatever is asked is answered at once, from a thread of its own: the guest waits on this one.
    std::thread::spawn(move || {
        while let Some((_, answer)) = asked.blocking_recv() {
            let _ = answer.send(Ok(Reply { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: bytes::Bytes::new() }));
        }
    });
    guests
}

/// Of the SDK's plugins: told by a header what to do.
fn asked(guests: &Guests, what: &str) -> Decision {
    let mut head = request(Some("now"));
    head.headers.insert("x-do", HeaderValue::from_str(what).unwrap());
    let decided = match guests.waits() {
        false => guests.on_request(&exchange(), &head, &mut None),
        true => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(guests.on_request_waiting(&exchange(), &head, &mut None))
        }
    };
    decided.unwrap_or_else(|fault| panic!("{fault:?}"))
}

/// Every edit and verdict of the first shape of the contract.
fn exchanges(name: &str) {
    let guests = kept(name, serde_json::json!({ "reply": "kept" }), Rights::default());
    let decision = asked(&guests, "nothing");
    let edits: Vec<String> = decision.edits.iter().map(|edit| format!("{edit:?}")).collect();
    assert_eq!(edits.len(), 8, "{edits:?}");
    for (edit, begins) in edits.iter().zip([
        "SetHeader(\"x-kept\", \"request\")",
        "AppendHeader(\"x-kept\", \"192.0.2.17\")",
        "RemoveHeader(\"x-gone\")",
        "SetMethod(POST)",
        "SetAuthority(\"other.test\")",
        "SetPath(\"/kept\")",
        "SetQuery(Some(\"a=1\"))",
        "SetAttribute(\"kept\", \"now\")",
    ]) {
        assert_eq!(edit, begins, "{name}");
    }
    let Verdict::Reply(reply) = asked(&guests, "reply").verdict else { panic!("{name} does not reply") };
    assert_eq!((reply.status.as_u16(), &*reply.body, reply.headers["x-reply"].as_bytes()), (418, &b"kept"[..], &b"yes"[..]));
    assert!(matches!(asked(&guests, "forward").verdict, Verdict::Forward(name) if name == "app"));
    assert!(matches!(asked(&guests, "abort").verdict, Verdict::Abort));
    assert_eq!(set_header(&on_response(&guests).unwrap()), "origin");
}

fn connection(guests: &Guests, mut arrival: Arrival, sni: &str) -> (Admission, Admission) {
    let accepted = guests.on_accept(&arrival, &mut None).unwrap();
    for (name, value) in accepted.attributes {
        arrival.attributes.push((name, value));
    }
    let mut offered = hello();
    offered.sni = Some(sni.into());
    let greeted = guests.on_client_hello(&arrival, Hello { read: &offered, raw: b"raw!" }, &mut None).unwrap();
    guests.on_close(&arrival, &ENDING, &mut None).unwrap();
    (accepted.admission, greeted.admission)
}

/// Every phase of the second shape.
fn connections(name: &str) {
    let guests = kept(name, serde_json::json!({ "reply": "kept" }), Rights::default());
    let phases = guests.connection_phases();
    assert!(phases.accept && phases.client_hello && phases.close, "{name}: {phases:?}");
    assert_eq!(connection(&guests, arrival(), "a.test"), (Admission::Onward, Admission::Onward));
    assert_eq!(connection(&guests, arrival(), "alert.test").1, Admission::Refuse(Refusal::Alert(49)));
    assert_eq!(connection(&guests, arrival(), "pass.test").1, Admission::PassThrough("app".into()));
    let near = Arrival { peer: Some("127.0.0.1:4000".parse().unwrap()), ..arrival() };
    assert_eq!(connection(&guests, near, "a.test").0, Admission::Refuse(Refusal::Close));
}

fn everything() -> Rights {
    Rights {
        granted: Capability::ALL.into_iter().collect(),
        metrics: Some(PluginMetrics::default().plugin("kept")),
        secrets: [("KEY".to_owned(), bytes::Bytes::from_static(b"hush"))].into(),
        stores: [("s".to_owned(), Arc::new(Store::memory(1 << 20, Time::Real)))].into(),
        http: ["idp".to_owned()].into(),
        time: Time::Real,
    }
}

/// Every capability of the third shape.
fn capabilities(name: &str) {
    let guests = kept(name, serde_json::json!({ "secret": "KEY" }), everything());
    for (step, says) in [
        ("configured", "hush"),
        ("log info hello", "logged"),
        ("monotonic", "true"),
        ("random 8", "8 true"),
        ("secret KEY", "hush"),
        ("count asked a 1", "counted"),
        ("gauge level 2", "set"),
        ("observe size 3", "observed"),
        ("set s k v", "set"),
        ("get s k", "v"),
        ("replace s k v w", "true"),
        ("add s n 2", "2"),
        ("delete s k", "true"),
        ("get other k", "Denied"),
        ("send idp /", "204 - 0 []"),
        ("send other /", "Denied"),
    ] {
        let Verdict::Reply(reply) = asked(&guests, step).verdict else { panic!("{name}: {step}") };
        assert_eq!(String::from_utf8_lossy(&reply.body), says, "{name}: {step}");
    }
}

#[test]
fn what_was_built_with_the_first_contract_runs() {
    exchanges("1-sdk.wasm");
    let guests = kept("1-wit-bindgen.wasm", serde_json::json!({}), Rights::default());
    assert_eq!((on_request(&guests).unwrap().edits.len(), on_response(&guests).unwrap().edits.len()), (1, 1));
}

#[test]
fn what_was_built_when_connections_came_runs() {
    exchanges("2-sdk.wasm");
    connections("2-sdk.wasm");
    let guests = kept("2-wit-bindgen.wasm", serde_json::json!({ "do": "look" }), Rights::default());
    assert_eq!(connection(&guests, arrival(), "a.test"), (Admission::Onward, Admission::Onward));
}

#[test]
fn what_was_built_when_capabilities_came_runs() {
    capabilities("3-sdk.wasm");
}

/// What a phase of a body answers; nothing here has to wait.
fn now<T>(called: Called<T>) -> T {
    let Called::Now(Some(Ok(answer))) = called else { panic!("it does not answer") };
    answer
}

fn bodied(what: &str) -> RequestHead {
    let mut head = request(None);
    head.headers.insert("x-body", HeaderValue::from_str(what).unwrap());
    head
}

/// Of a piece: what is kept of it (`[..]`) and what is written, in order.
fn given(output: &Output, piece: &[u8]) -> String {
    let part = |part: &Part| match part {
        Part::Keep(range) => format!("[{}]", String::from_utf8_lossy(&piece[range.clone()])),
        Part::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    output.parts.iter().map(part).collect()
}

/// Bodies of both ways, as the SDK has them, and `take`.
fn bodies(name: &str) {
    let guests = kept(name, serde_json::json!({ "store": "s" }), everything());
    let piece = bytes::Bytes::from_static(b"ab");
    let trailers = HeaderMap::new();
    let hold = guests.hold(&exchange()).expect("it looks at bodies");
    let all = hold.phases();
    assert!(all.request && all.request_body && all.response_body && !all.response, "{all:?}");

    let mut asking = request(None);
    asking.headers.insert("x-do", HeaderValue::from_static("take"));
    assert_eq!(set_header(&now(hold.on_request(&exchange(), &asking))), "0");
    let Verdict::Reply(reply) = now(hold.on_request(&exchange(), &asking)).verdict else { panic!("the bucket is empty") };
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);

    let started = now(hold.begin_request(&exchange(), &bodied("watch"), Some(2)));
    assert!(matches!(started.want, Want::Watch) && format!("{:?}", started.edits) == "[SetHeader(\"x-length\", \"2\")]", "{started:?}");
    now(hold.watch(Way::Request, &piece));
    now(hold.end(Way::Request, &trailers));

    let mut head = response();
    head.headers.insert("x-body", HeaderValue::from_static("transform"));
    let started = now(hold.begin_response(&exchange(), &request(None), &head, None));
    assert!(
        matches!(started.want, Want::Transform) && format!("{:?}", started.edits) == "[SetHeader(\"x-status\", \"200\")]",
        "{started:?}"
    );
    assert_eq!(given(&now(hold.transform(Way::Response, &piece)), &piece), "[ab]ab");
    let end = now(hold.end(Way::Response, &trailers));
    assert_eq!((end.parts, end.edits.len()), (vec![bytes::Bytes::from_static(b"!")], 2));

    let hold = guests.hold(&exchange()).expect("it looks at bodies");
    assert!(matches!(now(hold.begin_request(&exchange(), &bodied("buffer"), None)).want, Want::Buffer(1000)));
    let judged = now(hold.whole(Way::Request, &piece, &trailers));
    assert_eq!((set_header(&judged.decision), judged.body.as_deref()), ("2".to_owned(), Some(&b"kept"[..])));
}

#[test]
fn what_was_built_when_bodies_came_runs() {
    bodies("4-sdk.wasm");
    let piece = bytes::Bytes::from_static(b"ab");
    let guests = kept("4-wit-bindgen.wasm", serde_json::json!({ "do": "request:double" }), Rights::default());
    let hold = guests.hold(&exchange()).expect("it looks at bodies");
    assert!(matches!(now(hold.begin_request(&exchange(), &request(None), None)).want, Want::Transform));
    assert_eq!(given(&now(hold.transform(Way::Request, &piece)), &piece), "[ab]ab");
    now(hold.end(Way::Request, &HeaderMap::new()));
    let guests = kept("4-wit-bindgen.wasm", serde_json::json!({ "do": "buffer-replace" }), Rights::default());
    let hold = guests.hold(&exchange()).expect("it looks at bodies");
    assert!(matches!(now(hold.begin_response(&exchange(), &request(None), &response(), None)).want, Want::Buffer(1000)));
    let judged = now(hold.whole(Way::Response, &piece, &HeaderMap::new()));
    assert_eq!(judged.body.as_deref(), Some(&b"ba"[..]));
}

#[test]
fn what_was_built_as_a_service_of_wasi_answers() {
    let bytes = std::fs::read(corpus().join("4-service.wasm")).unwrap();
    let grant = ServiceGrant { limits: patient(), http: ["idp".to_owned()].into() };
    let service = sandbox().load_service(&bytes, None, grant, "kept").unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let text = local.block_on(&runtime, async {
        let asked = http::Request::get("http://kept.test/hello").body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = service.handle(asked, false, None).await.unwrap_or_else(|cause| panic!("{cause:?}"));
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(&text[..], b"hello from a component\n");
}

#[test]
fn every_component_of_the_corpus_is_run() {
    let files = std::fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let there: BTreeSet<String> = files.filter(|name| name.ends_with(".wasm")).collect();
    let run = [
        "1-sdk.wasm",
        "1-wit-bindgen.wasm",
        "2-sdk.wasm",
        "2-wit-bindgen.wasm",
        "3-sdk.wasm",
        "4-sdk.wasm",
        "4-wit-bindgen.wasm",
        "4-service.wasm",
    ];
    assert_eq!(there, run.into_iter().map(str::to_owned).collect());
}
