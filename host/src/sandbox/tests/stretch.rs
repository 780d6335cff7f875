//! A stretch decides what its links decide one by one, by fresh guests, whatever they do to what the others see; and each call is counted as before.

use super::remembered::keeps_the_path;
use super::*;
use crate::chain::{Bodiless, Chain, Course, Failing, Link, Stretches, Walk};
use crate::config::{BreakerSpec, LinkOrigin, LinkSpec, Location, PluginRef};
use crate::message::Reply;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// A link: a bundled plugin with settings, or the guest that keeps the path.
type Made = (&'static str, Value);

/// Compiled once.
fn plugin(name: &'static str) -> Arc<Plugin> {
    static LOADED: Mutex<BTreeMap<&str, Arc<Plugin>>> = Mutex::new(BTreeMap::new());
    let load = || {
        let bytes = if name == "keeps" { &keeps_the_path() } else { bundled::bundled(name).unwrap() };
        sandbox().load(bytes, None).unwrap()
    };
    Arc::clone(LOADED.lock().unwrap().entry(name).or_insert_with(load))
}

fn configured((name, settings): &Made, wanted: bool) -> Arc<Configured> {
    let breaker = BreakerSpec { faults: 0, ..BreakerSpec::default() };
    let remember = Remember { wanted, secret: false };
    let grant = Grant { isolation: Some(Isolation::Request), limits: patient(), remember, breaker, ..Grant::default() };
    let configured = plugin(name).configure_under(settings, grant, "test");
    let configured = configured.unwrap_or_else(|error| panic!("{name} {settings}: {error:?}"));
    assert_eq!(configured.remembers().is_ok(), wanted, "{name} {settings}: {:?}", configured.remembers());
    configured
}

fn chain(links: usize) -> Chain {
    let spec = Arc::new(LinkSpec {
        name: "link".to_owned(),
        plugin: PluginRef::Bundled("headers"),
        settings: json!({}),
        settings_at: Default::default(),
        when: None,
        origin: LinkOrigin::Route,
        at: Location { file: "test".into(), line: 1, column: 1 },
    });
    Chain { links: (0..links).map(|filter| Link { filter, when: None, spec: spec.clone() }).collect() }
}

/// Links with guests of their own, and what they know together.
struct Line {
    configured: Vec<Arc<Configured>>,
    chain: Chain,
    filters: Vec<Rc<Guests>>,
    stretches: Option<Stretches<GuestStretch>>,
}

impl Line {
    fn new(links: &[Made], remembers: bool, together: bool) -> Self {
        let configured: Vec<_> = links.iter().map(|link| configured(link, remembers)).collect();
        let filters: Vec<_> = configured.iter().map(|configured| Rc::new(configured.for_worker())).collect();
        let chain = chain(links.len());
        let stretches = together.then(|| Stretches::of(&chain, &filters));
        Self { configured, chain, filters, stretches }
    }

    /// All that one exchange comes to.
    fn pass(&self, asked: &Asked) -> String {
        let (mut exchange, mut head, mut answer) = (exchange(), asked.head(), asked.answer());
        let mut walk = Walk::new(&self.chain, &self.filters);
        if let Some(stretches) = &self.stretches {
            walk = walk.along(stretches);
        }
        let faults = std::cell::RefCell::new(Vec::new());
        let note = |_: &Link, fault: &Fault| faults.borrow_mut().push(fault.cause);
        let course = at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, note));
        let course = match course {
            Course::Reply(reply) => {
                answer = ResponseHead { status: reply.status, headers: reply.headers };
                "reply".to_owned()
            }
            Course::Failed(fault) => return format!("{:?} {:?}", fault.cause, walk.acted()),
            other => format!("{other:?}"),
        };
        exchange.upstream = Some("app".into());
        let fail = |_: Failing| Reply { status: StatusCode::BAD_GATEWAY, headers: HeaderMap::new(), body: bytes::Bytes::new() };
        let back = at_once(walk.on_response(&mut exchange, &head, &mut answer, &mut Bodiless, note, fail));
        format!("{course} {head:?} {back:?} {answer:?} {:?} {:?} {:?}", walk.acted(), exchange.attributes, faults.borrow())
    }

    fn counts(&self) -> Vec<Counts> {
        self.configured.iter().map(|configured| configured.counts()).collect()
    }
}

fn at_once<T>(walk: impl Future<Output = T>) -> T {
    match pin!(walk).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decided) => decided,
        Poll::Pending => panic!("a guest that may not wait does"),
    }
}

#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    path: &'static str,
    lines: Vec<(&'static str, &'static str)>,
    answer: Vec<(&'static str, &'static str)>,
    status: u16,
}

impl Asked {
    fn head(&self) -> RequestHead {
        let method = self.method.parse().unwrap();
        RequestHead { method, path: self.path.into(), headers: headers(&self.lines), ..request(None) }
    }

    fn answer(&self) -> ResponseHead {
        ResponseHead { status: StatusCode::from_u16(self.status).unwrap(), headers: headers(&self.answer) }
    }
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

/// Few names, all of which other links look at.
const REQUEST: [&str; 4] = ["x-a", "x-b", "origin", "user-agent"];
const RESPONSE: [&str; 3] = ["content-type", "cache-control", "x-saw"];
const IN_REQUEST: [&str; 7] = [
    "v",
    "{request.header.x-a}1",
    "{request.header.x-b}2",
    "{request.path}",
    "{request.query}",
    "https://a.test",
    "{request.header.x-saw}",
];
const IN_RESPONSE: [&str; 5] = ["text/html", "{request.path}", "{cors.origin}", "text/plain", "{request.method}"];

fn changes(names: &'static [&'static str], values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let values: Vec<_> = values.iter().filter(|value| **value != "{cors.origin}").copied().collect();
    let fields = || prop::collection::btree_map(select(names), select(values.clone()), 0..2);
    (fields(), fields(), prop::collection::vec(select(names), 0..2))
        .prop_map(|(set, add, remove)| json!({ "set": set, "add": add, "remove": remove }))
}

fn link() -> impl Strategy<Value = Made> {
    prop_oneof![
        4 => (changes(&REQUEST, &IN_REQUEST), changes(&RESPONSE, &IN_RESPONSE)).prop_filter_map("nothing to do", |(request, mut response)| {
            // So that each of them does something.
            response["add"]["x-mark"] = json!("1");
            Some(("headers", json!({ "request": request, "response": response })))
        }),
        1 => select(vec![json!({ "strip-prefix": "/x" }), json!({ "add-prefix": "/b" }), json!({ "query": { "add": { "k": "v" } } })]).prop_map(|settings| ("rewrite", settings)),
        1 => Just(("cors", json!({ "origins": ["https://a.test"], "methods": ["PUT"] }))),
        1 => select(vec![
            json!({ "rules": [{ "path": "/b/*", "set": "no-store" }, { "type": "text/html", "set": "no-cache" }] }),
            json!({ "rules": [{ "type": "text/plain", "set": "public" }], "replace": true }),
        ]).prop_map(|settings| ("cache-control", settings)),
        1 => Just(("keeps", json!({}))),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let lines =
        |names: &'static [&'static str], values: &'static [&'static str]| prop::collection::vec((select(names), select(values)), 0..3);
    let (method, path) = (select(vec!["GET", "OPTIONS"]), select(vec!["/a", "/x/a", "/x", "/y", "/b/a"]));
    let (sent, answered) = (lines(&REQUEST, &["p", "https://a.test"]), lines(&RESPONSE, &["text/html", "text/plain"]));
    (method, path, sent, answered, select(vec![200, 404, 418])).prop_map(|(method, path, lines, answer, status)| Asked {
        method,
        path,
        lines,
        answer,
        status,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each exchange comes three times at least: the first time guests are asked, the second time what they said is put together, then it is known. Not in
    /// a row, so that what is known for one is not taken for another.
    #[test]
    fn a_stretch_decides_what_its_links_decide(links in prop::collection::vec(link(), 1..6), exchanges in prop::collection::vec(asked(), 1..6)) {
        let (fresh, alone, ours) = (Line::new(&links, false, false), Line::new(&links, true, false), Line::new(&links, true, true));
        for round in 0..4 {
            for asked in &exchanges {
                let wanted = fresh.pass(asked);
                prop_assert_eq!(&alone.pass(asked), &wanted);
                prop_assert_eq!(&ours.pass(asked), &wanted, "round {}", round);
            }
        }
        let known = |line: &Line| line.counts().iter().map(|c| (c.calls, c.hits, c.misses, c.guests, c.trap, c.entries)).collect::<Vec<_>>();
        prop_assert_eq!(known(&ours), known(&alone));
        let counts = known(&ours);
        let Line { configured, filters, stretches, .. } = ours;
        drop((filters, stretches));
        let after: Vec<_> = configured.iter().map(|configured| configured.counts()).map(|c| (c.calls, c.hits, c.misses)).collect();
        prop_assert_eq!(after, counts.iter().map(|(calls, hits, misses, ..)| (*calls, *hits, *misses)).collect::<Vec<_>>());
    }
}

fn plain(path: &'static str) -> Asked {
    Asked { method: "GET", path, lines: vec![], answer: vec![], status: 200 }
}

/// What the second link sees is what the first has set, and that is what comes of what the client sent.
#[test]
fn what_a_link_sets_is_what_the_next_one_sees() {
    let copies = |from: &str, to: &str| ("headers", json!({ "request": { "set": { to: format!("{{request.header.{from}}}") } } }));
    let line = Line::new(&[copies("x-a", "x-b"), copies("x-b", "x-c")], true, true);
    for _ in 0..4 {
        for value in ["one", "two"] {
            let asked = Asked { lines: vec![("x-a", value), ("x-b", "client's")], ..plain("/") };
            assert!(line.pass(&asked).contains(&format!("\"x-c\": \"{value}\"")));
        }
    }
}

/// Each link is counted, as if it had been asked alone; and a stretch leaves its counts behind.
#[test]
fn calls_are_counted_for_each_link() {
    let tag = |name: &str| ("headers", json!({ "request": { "set": { name: "1" } }, "response": { "set": { name: "1" } } }));
    let line = Line::new(&[tag("x-a"), tag("x-b"), tag("x-c")], true, true);
    for _ in 0..10 {
        line.pass(&plain("/"));
    }
    let counted = |counts: Vec<Counts>| counts.iter().map(|c| (c.calls, c.hits, c.misses)).collect::<Vec<_>>();
    assert_eq!(counted(line.counts()), [(20, 18, 2); 3]);
    assert!(line.filters.iter().all(|filter| filter.tally.together() == 18));
    let Line { configured, filters, stretches, .. } = line;
    drop(stretches);
    assert_eq!(counted(configured.iter().map(|configured| configured.counts()).collect()), [(20, 18, 2); 3]);
    drop(filters);
}

/// What never comes again is asked link by link, most of the time without a look at the stretch, and comes out the same.
#[test]
fn what_seldom_comes_again_is_left_to_the_links() {
    let path = || ("headers", json!({ "request": { "set": { "x-a": "{request.path}" } } }));
    let (fresh, ours) = (Line::new(&[path(), path()], false, false), Line::new(&[path(), path()], true, true));
    for number in 0..600 {
        let head = |line: &Line| line.pass(&plain(Box::leak(format!("/{number}").into_boxed_str())));
        assert_eq!(head(&ours), head(&fresh));
    }
    assert!(ours.counts().iter().all(|counts| (counts.misses, counts.hits) == (600, 0)));
}

/// Somebody looks at each call.
#[test]
fn links_are_walked_one_by_one_where_they_are_not_remembered() {
    let tag = || ("headers", json!({ "request": { "set": { "x-a": "1" } } }));
    let (kept, one) = (configured(&tag(), false), configured(&tag(), true));
    let filters: Vec<_> = [&kept, &one, &kept].map(|configured| Rc::new(configured.for_worker())).into();
    let stretches = Stretches::<GuestStretch>::of(&chain(3), &filters);
    let line = Line { configured: vec![kept, one], chain: chain(3), filters, stretches: Some(stretches) };
    for _ in 0..5 {
        line.pass(&plain("/"));
    }
    let counts = line.counts();
    assert_eq!((counts[0].calls, counts[0].hits), (10, 0));
    assert_eq!((counts[1].calls, counts[1].hits), (5, 4));
}
