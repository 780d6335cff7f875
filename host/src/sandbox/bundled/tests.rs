//! The bundled components as any host would run them, through wasmtime's dynamic values: what they export and import, and that the SDK's
//! hand-written shims speak the contract.

use super::{bundled, names, rights};
use std::collections::BTreeSet;
use std::sync::{LazyLock, OnceLock};
use wasmtime::component::{Component, Linker, Val, types::ComponentItem};
use wasmtime::{Engine, Store};

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::default);

/// A guest with `get-random-u64` that counts from 1, and nothing else.
struct Guest {
    store: Store<u64>,
    instance: wasmtime::component::Instance,
}

/// Compiled once for all tests: that takes longer than anything else here.
static COMPONENTS: LazyLock<Vec<(&str, OnceLock<Component>)>> = LazyLock::new(|| names().map(|name| (name, OnceLock::new())).collect());

fn component(name: &str) -> &'static Component {
    let (_, cell) = COMPONENTS.iter().find(|(bundled, _)| *bundled == name).expect("bundled");
    cell.get_or_init(|| Component::new(&ENGINE, bundled(name).expect("bundled")).expect("a component"))
}

impl Guest {
    fn new(name: &str) -> Self {
        let mut linker = Linker::<u64>::new(&ENGINE);
        let mut random = linker.instance("wasi:random/random@0.2.0").expect("free");
        let count = |mut store: wasmtime::StoreContextMut<'_, u64>, (): ()| {
            *store.data_mut() += 1;
            Ok((*store.data(),))
        };
        random.func_wrap("get-random-u64", count).expect("free");
        // (Not for all: it would stand before the random numbers above.)
        if !rights(name).is_empty() {
            linker.define_unknown_imports_as_traps(component(name)).expect("definable");
        }
        let mut store = Store::new(&ENGINE, 0);
        let instance = linker.instantiate(&mut store, component(name)).expect("instantiates");
        Self { store, instance }
    }

    fn configured(name: &str, settings: &str) -> Self {
        let mut guest = Self::new(name);
        let outcome = guest.configure(settings);
        assert!(matches!(outcome, Val::Result(Ok(_))), "{outcome:?}");
        guest
    }

    fn call(&mut self, interface: &str, function: &str, arguments: &[Val]) -> Val {
        let interface = format!("portcullis:plugin/{interface}@0.1.0");
        let instance = self.instance.get_export_index(&mut self.store, None, &interface).expect("exported");
        let export = self.instance.get_export_index(&mut self.store, Some(&instance), function).expect("exported");
        let function = self.instance.get_func(&mut self.store, export).expect("a function");
        let mut results = [Val::Bool(false)];
        function.call(&mut self.store, arguments, &mut results).expect("no trap");
        let [result] = results;
        result
    }

    fn configure(&mut self, settings: &str) -> Val {
        self.call("lifecycle", "configure", &[text(settings)])
    }

    fn on_request(&mut self, exchange: u64, head: Val) -> Val {
        self.call("on-request", "on-request", &[Val::U64(exchange), head])
    }
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn bytes(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
}

fn fields(headers: &[(&str, &[u8])]) -> Val {
    Val::List(headers.iter().map(|(name, value)| record([("name", text(name)), ("value", bytes(value))])).collect())
}

fn attributes(attributes: &[(&str, &str)]) -> Val {
    Val::List(attributes.iter().map(|(name, value)| record([("name", text(name)), ("value", text(value))])).collect())
}

fn request(path: &str, query: Option<&str>, headers: &[(&str, &[u8])], set: &[(&str, &str)]) -> Val {
    record([
        ("method", text("GET")),
        ("scheme", text("https")),
        ("authority", text("a.example:8443")),
        ("path", text(path)),
        ("query", Val::Option(query.map(|query| Box::new(text(query))))),
        ("headers", fields(headers)),
        ("attributes", attributes(set)),
    ])
}

fn response(headers: &[(&str, &[u8])], set: &[(&str, &str)]) -> Val {
    record([("status", Val::U16(200)), ("headers", fields(headers)), ("attributes", attributes(set))])
}

fn case(name: &str, payload: Option<Val>) -> Val {
    Val::Variant(name.to_owned(), payload.map(Box::new))
}

fn decision(verdict: Val, edits: Vec<Val>) -> Val {
    record([("verdict", verdict), ("edits", Val::List(edits))])
}

fn next(edits: Vec<Val>) -> Val {
    decision(case("next", None), edits)
}

fn header(edit: &str, name: &str, value: &[u8]) -> Val {
    case(edit, Some(record([("name", text(name)), ("value", bytes(value))])))
}

#[test]
fn each_exports_its_phases_and_imports_only_what_it_must() {
    const RANDOM: &[&str] = &["wasi:random/random#get-random-u64"];
    let expected: &[(&str, &[&str], &[&str])] = &[
        ("basic-auth", &["lifecycle", "on-request"], RANDOM),
        ("bot-challenge", &["lifecycle", "on-request"], &[]),
        ("cache-control", &["lifecycle", "on-response"], &[]),
        ("conn-limit", &["connections", "lifecycle", "on-accept"], &[]),
        ("cors", &["lifecycle", "on-request", "on-response"], &[]),
        ("forward-auth", &["lifecycle", "on-request"], &[]),
        ("geo-header", &["lifecycle", "on-request", "on-response"], &[]),
        ("headers", &["lifecycle", "on-request", "on-response"], &[]),
        ("ip-filter", &["connections", "lifecycle", "on-accept", "on-request"], &[]),
        ("jwt", &["lifecycle", "on-request"], &[]),
        ("maintenance", &["lifecycle", "on-request"], &[]),
        ("rate-limit", &["lifecycle", "on-request", "on-response"], &[]),
        ("redirect", &["lifecycle", "on-request"], &[]),
        ("request-id", &["lifecycle", "on-request", "on-response"], RANDOM),
        ("respond", &["lifecycle", "on-request"], &[]),
        ("rewrite", &["lifecycle", "on-request"], &[]),
        ("route", &["lifecycle", "on-request"], &[]),
        ("security-headers", &["lifecycle", "on-response"], &[]),
    ];
    assert!(names().eq(expected.iter().map(|(name, ..)| *name)));
    for &(name, phases, imports) in expected {
        let kind = component(name).component_type();
        let mut exported: Vec<_> = kind.exports(&ENGINE).map(|(export, _)| export.to_owned()).collect();
        exported.sort();
        assert!(
            exported.iter().eq(phases.iter().map(|phase| format!("portcullis:plugin/{phase}@0.1.0")).collect::<Vec<_>>().iter()),
            "{exported:?}"
        );
        let functions = kind.imports(&ENGINE).flat_map(|(interface, item)| match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                let functions = instance.exports(&ENGINE).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                functions.map(|(function, _)| format!("{}#{function}", unversioned(interface))).collect()
            }
            _ => vec![interface.to_owned()],
        });
        let (ours, others): (Vec<String>, Vec<String>) = functions.partition(|function| function.starts_with("portcullis:plugin/"));
        assert_eq!(others, imports, "{name}");
        let used: BTreeSet<&str> = ours.iter().filter_map(|function| function.split(['/', '#']).nth(1)).collect();
        let due: BTreeSet<&str> = rights(name).iter().map(|capability| capability.interface()).collect();
        assert_eq!(used, due, "{name} is granted what it uses and no more");
    }
}

/// Which 0.2 it is, is the linker's choice (it merges with wasi-libc's) and nothing to the proxy.
fn unversioned(interface: &str) -> &str {
    interface.split('@').next().unwrap_or_default()
}

#[test]
fn each_describes_itself_in_json() {
    for name in names() {
        let Val::String(text) = Guest::new(name).call("lifecycle", "describe", &[]) else { panic!("a string") };
        let about: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        assert_eq!(about["name"], name);
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
        assert!(about["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        assert_eq!(about["settings"]["type"], "object");
        assert_eq!(about["settings"]["additionalProperties"], false);
        jsonschema::validator_for(&about["settings"]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_plan_comes_over_whole() {
    let settings =
        r#"{"rules": [{"to": "a", "cookie": {"x": "1"}, "query": {"y": "2"}}, {"to": "b"}], "split": {"c": 1}, "by": "client.ip"}"#;
    let interest = record([
        ("fields", Val::Flags(vec!["query".into()])),
        ("headers", Val::List(vec![text("cookie")])),
        ("all-headers", Val::Bool(false)),
        ("attributes", Val::List(vec![text("client.ip")])),
    ]);
    let warning = record([("path", text("/rules/1")), ("message", text("always holds, so that nothing after it is ever asked"))]);
    let plan = record([
        ("request", Val::Option(Some(Box::new(interest)))),
        ("response", Val::Option(None)),
        ("warnings", Val::List(vec![warning])),
    ]);
    assert_eq!(Guest::new("route").configure(settings), Val::Result(Ok(Some(Box::new(plan)))));
}

#[test]
fn problems_come_over_whole_and_a_guest_can_be_configured_again() {
    let mut guest = Guest::new("redirect");
    let Val::Result(Err(Some(problems))) = guest.configure(r#"{"to": "/{tail}", "prefix": "old"}"#) else { panic!("refused") };
    let Val::List(problems) = *problems else { panic!("a list") };
    assert_eq!(problems.len(), 2);
    assert!(matches!(guest.configure(r#"{"to": "/{rest}"}"#), Val::Result(Ok(_))));
}

#[test]
fn edits_of_every_kind_come_over() {
    let mut headers = Guest::configured(
        "headers",
        r#"{"request": {"set": {"x-c": "{client.ip}|{request.header.x-raw}"}, "add": {"x-d": "1"}, "remove": ["x-e"]}, "response": {"set": {"x-f": "{request.host}"}}}"#,
    );
    let after = headers.on_request(0, request("", None, &[("x-raw", b"\xff")], &[("client.ip", "192.0.2.1")]));
    let edits = vec![
        case("remove-header", Some(text("x-e"))),
        header("set-header", "x-c", b"192.0.2.1|\xff"),
        header("append-header", "x-d", b"1"),
    ];
    assert_eq!(after, next(edits));
    let after = headers.call("on-response", "on-response", &[Val::U64(0), response(&[], &[("request.authority", "a.example:8443")])]);
    assert_eq!(after, next(vec![header("set-header", "x-f", b"a.example")]));

    let settings =
        r#"{"strip-prefix": "/api", "regex": {"match": "(\\d+)", "replace": "<$1>"}, "query": {"remove": ["a"]}, "host": "b.example"}"#;
    let mut rewrite = Guest::configured("rewrite", settings);
    let host = || case("set-authority", Some(text("b.example")));
    let path = || case("set-path", Some(text("/x<12>")));
    let removed = next(vec![path(), case("set-query", Some(Val::Option(None))), host()]);
    assert_eq!(rewrite.on_request(0, request("/api/x12", Some("a=1"), &[], &[])), removed);
    let kept = next(vec![path(), case("set-query", Some(Val::Option(Some(Box::new(text("b=2")))))), host()]);
    assert_eq!(rewrite.on_request(0, request("/api/x12", Some("a=1&b=2"), &[], &[])), kept);
}

#[test]
fn verdicts_come_over() {
    let mut route = Guest::configured("route", r#"{"rules": [{"to": "canary", "header": {"x-beta": "1"}}]}"#);
    assert_eq!(route.on_request(0, request("", None, &[("x-beta", b"1")], &[])), decision(case("forward", Some(text("canary"))), vec![]));
    assert_eq!(route.on_request(0, request("", None, &[], &[])), next(vec![]));

    let mut respond = Guest::configured("respond", r#"{"status": 404, "body": "gone\n"}"#);
    let reply = record([
        ("status", Val::U16(404)),
        ("headers", fields(&[("content-type", b"text/plain; charset=utf-8")])),
        ("body", bytes(b"gone\n")),
    ]);
    for _ in 0..3 {
        assert_eq!(respond.on_request(0, request("", None, &[], &[])), decision(case("reply", Some(reply.clone())), vec![]));
    }
}

#[test]
fn random_bits_are_the_host_s() {
    let mut ids = Guest::configured("request-id", "{}");
    let id = "00000000-0000-4001-8000-000000000002";
    let log = case("set-attribute", Some(record([("name", text("log.request-id")), ("value", text(id))])));
    assert_eq!(ids.on_request(0, request("", None, &[], &[])), next(vec![header("set-header", "x-request-id", id.as_bytes()), log]));
}

/// Calls whose arguments and results outgrow the arena, alternating with small ones: nothing leaks, nothing is mixed up.
#[test]
fn large_heads_come_over_call_after_call() {
    let mut headers = Guest::configured("headers", r#"{"request": {"set": {"x-copy": "{request.header.x-in}"}}}"#);
    for round in 0..2000_usize {
        let value = vec![b'a' + (round % 26) as u8; if round % 3 == 0 { 40_000 } else { round % 100 }];
        let after = headers.on_request(0, request("", None, &[("x-in", &value)], &[]));
        assert!(after == next(vec![header("set-header", "x-copy", &value)]), "round {round}");
    }
}

/// The deepest expression that is accepted fits the guest's 64 KiB of stack.
#[test]
fn the_deepest_expression_fits_the_stack() {
    let outcome = |depth: usize| {
        let expression = format!("{}a{}", "(".repeat(depth), ")*".repeat(depth));
        Guest::new("rewrite").configure(&format!(r#"{{"regex": {{"match": "{expression}", "replace": ""}}}}"#))
    };
    // A group and a repetition are two levels each; `call` panics if the guest runs out of stack.
    assert!(matches!(outcome(24), Val::Result(Ok(_))));
    assert!(matches!(outcome(26), Val::Result(Err(_))));
}
