//! The hand-written way across the wall against wasmtime's derived one: whatever bytes a guest returns, both must say the same.

use super::super::abi::Decided;
use super::super::inputs::Lines;
use super::super::plan::RequestInterest;
use super::super::state::{Backing, State, on_tick};
use super::super::types;
use super::super::wasi::Log;
use super::*;
use crate::message::Reply;
use http::HeaderName;
use proptest::prelude::*;
use std::cell::RefCell;
use wasmtime::Store;
use wasmtime::component::TypedFunc;

/// Where `raw.wat` puts what is large.
const BASE: u32 = 131_072;
const IMAGE: usize = 8192;

/// Lets the guest return exactly these bytes: they come in as a header value and are given back as the decision.
struct Mirror {
    store: Store<State>,
    hand: TypedFunc<(u64, types::RequestHead<'static>), (Decided<true>,)>,
    derived: TypedFunc<(u64, types::RequestHead<'static>), (types::Decision,)>,
}

impl Mirror {
    fn new() -> Self {
        static PLUGIN: OnceLock<Arc<Plugin>> = OnceLock::new();
        let mirror = [("(;REQUEST;)", "(return (i32.const 131072))")];
        let plugin = PLUGIN.get_or_init(|| sandbox().load(&raw(&mirror), None).unwrap());
        let limits = GuestLimits { cpu: std::time::Duration::from_secs(10), ..GuestLimits::default() };
        let backing = Backing { limits, log: Log::new("mirror"), ticker: Arc::clone(&plugin.ticker), seed: (0, 0), rights: Arc::default() };
        let mut store = Store::new(plugin.linked.pre.engine(), State::new(Arc::new(backing), None));
        store.epoch_deadline_callback(on_tick);
        store.set_epoch_deadline(1);
        let instance = plugin.linked.pre.instantiate(&mut store).unwrap();
        let index = plugin.exports.request.unwrap();
        let hand = instance.get_typed_func(&mut store, index).unwrap();
        let derived = instance.get_typed_func(&mut store, index).unwrap();
        Self { store, hand, derived }
    }

    /// Both ways' decision on this image, as text. After an error the store is poisoned, so it is made anew.
    fn both(slot: &RefCell<Option<Self>>, image: &[u8]) -> (Option<String>, Option<String>) {
        let mut slot = slot.borrow_mut();
        let headers = [types::Header { name: "image", value: image }];
        let head = types::RequestHead { method: "", scheme: "", authority: "", path: "", query: None, headers: &headers, attributes: &[] };
        let mirror = slot.get_or_insert_with(Self::new);
        let hand = mirror.hand.call(&mut mirror.store, (0, head));
        if hand.is_err() {
            *slot = None;
        }
        let mirror = slot.get_or_insert_with(Self::new);
        let derived = mirror.derived.call(&mut mirror.store, (0, head));
        if derived.is_err() {
            *slot = None;
        }
        let hand = hand.ok().map(|(decided,)| format!("{:?}", decided.0));
        let derived = derived.ok().and_then(|(decision,)| reference(decision)).map(|decision| format!("{decision:?}"));
        (hand, derived)
    }
}

/// The contract's rules once more, on owned types, as plainly as can be.
fn reference(raw: types::Decision) -> Option<Decision> {
    let mut bytes = 0;
    let mut count = |n: usize| bytes += n;
    let header = |raw: &types::OwnedHeader| -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(raw.name.as_bytes()).ok()?;
        let hidden =
            ["connection", "transfer-encoding", "content-length", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "host"];
        let text = &raw.value[..];
        let start = text.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !b" \t".contains(byte)).map_or(start, |last| last + 1);
        let value = HeaderValue::from_bytes(&text[start..end]).ok()?;
        (!hidden.contains(&name.as_str())).then_some((name, value))
    };
    if raw.edits.len() > 256 {
        return None;
    }
    let verdict = match raw.verdict {
        types::Verdict::Next => Verdict::Next,
        types::Verdict::Abort => Verdict::Abort,
        types::Verdict::Forward(name) => {
            count(name.len());
            Verdict::Forward(name.into())
        }
        types::Verdict::Reply(reply) => {
            let status = StatusCode::from_u16(reply.status).ok().filter(|status| (200..=599).contains(&status.as_u16()))?;
            let mut headers = HeaderMap::new();
            if reply.headers.len() > 256 || reply.body.len() > 1 << 20 {
                return None;
            }
            for line in &reply.headers {
                count(line.name.len() + line.value.len());
                let (name, value) = header(line)?;
                headers.append(name, value);
            }
            if [204, 304].contains(&reply.status) && !reply.body.is_empty() {
                return None;
            }
            Verdict::Reply(Box::new(Reply { status, headers, body: reply.body.into() }))
        }
    };
    let target = |text: &str| text.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let mut edits = Vec::new();
    for edit in raw.edits {
        edits.push(match edit {
            types::Edit::SetHeader(line) => {
                count(line.name.len() + line.value.len());
                header(&line).map(|(name, value)| Edit::SetHeader(name, value))?
            }
            types::Edit::AppendHeader(line) => {
                count(line.name.len() + line.value.len());
                header(&line).map(|(name, value)| Edit::AppendHeader(name, value))?
            }
            types::Edit::RemoveHeader(name) => {
                count(name.len());
                header(&types::OwnedHeader { name, value: vec![] }).map(|(name, _)| Edit::RemoveHeader(name))?
            }
            types::Edit::SetMethod(text) => {
                count(text.len());
                Edit::SetMethod(Method::from_bytes(text.as_bytes()).ok().filter(|method| method != Method::CONNECT)?)
            }
            types::Edit::SetAuthority(text) => {
                count(text.len());
                let parsed: http::uri::Authority = text.parse().ok()?;
                let port = &text[parsed.host().len().min(text.len())..];
                let sound = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
                if text.contains('@') || parsed.host().is_empty() || !sound {
                    return None;
                }
                Edit::SetAuthority(text.to_ascii_lowercase().into())
            }
            types::Edit::SetPath(text) => {
                count(text.len());
                Edit::SetPath(Some(text).filter(|text| text.starts_with('/') && target(text) && !text.contains('?'))?.into())
            }
            types::Edit::SetQuery(None) => Edit::SetQuery(None),
            types::Edit::SetQuery(Some(text)) => {
                count(text.len());
                Edit::SetQuery(Some(Some(text).filter(|text| target(text))?.into()))
            }
            types::Edit::SetAttribute(types::OwnedAttribute { name, value }) => {
                count(name.len() + value.len());
                let sound = (1..=256).contains(&name.len()) && name.bytes().all(|byte| (0x21..0x7f).contains(&byte));
                if !sound || Exchange::is_reserved(&name) {
                    return None;
                }
                Edit::SetAttribute(name.into(), value.into())
            }
        });
    }
    (bytes <= 1 << 20).then_some(Decision { verdict, edits: edits.into() })
}

/// A decision as it would lie in a guest's memory, from `BASE` on.
struct Image {
    bytes: Vec<u8>,
    top: usize,
}

impl Image {
    fn new() -> Self {
        Self { bytes: vec![0; IMAGE], top: 32 }
    }

    fn room(&mut self, size: usize) -> usize {
        let at = self.top.next_multiple_of(4);
        self.top = at + size;
        at
    }

    fn word(&mut self, at: usize, word: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Writes pointer and length at `at`.
    fn text(&mut self, at: usize, text: &[u8]) {
        let start = self.room(text.len());
        if let Some(place) = self.bytes.get_mut(start..start + text.len()) {
            place.copy_from_slice(text);
        }
        self.word(at, BASE + start as u32);
        self.word(at + 4, text.len() as u32);
    }
}

#[derive(Debug, Clone)]
struct RawEdit {
    kind: u8,
    first: Vec<u8>,
    second: Vec<u8>,
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z-]{1,12}".prop_map(String::into_bytes),
        1 => "/[a-z?#%/ ]{0,12}".prop_map(String::into_bytes),
        1 => "[a-zA-Z0-9.]{1,9}(:[0-9]{0,6})?".prop_map(String::into_bytes),
        1 => proptest::sample::select(vec!["host", "Content-Length", "te", "GET", "CONNECT", "client.ip", "log.x", "a@b", " x\t", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ]
}

fn edits() -> impl Strategy<Value = Vec<RawEdit>> {
    let edit = (0u8..9, texts(), texts()).prop_map(|(kind, first, second)| RawEdit { kind, first, second });
    proptest::collection::vec(edit, 0..5)
}

fn image() -> impl Strategy<Value = Vec<u8>> {
    let flips = proptest::collection::vec((0usize..400, any::<u8>()), 0..3);
    let status = prop_oneof![Just(200u32), Just(204), Just(101), Just(599), Just(600), 0u32..70_000];
    (0u8..5, texts(), status, edits(), edits(), prop_oneof![3 => Just(vec![]), 1 => flips]).prop_map(
        |(verdict, text, status, headers, edits, flips)| {
            let mut image = Image::new();
            image.word(0, verdict.into());
            match verdict {
                1 => image.text(4, &text),
                2 => {
                    image.word(4, status);
                    let list = image.room(headers.len() * 16);
                    image.word(8, BASE + list as u32);
                    image.word(12, headers.len() as u32);
                    for (index, header) in headers.iter().enumerate() {
                        image.text(list + index * 16, &header.first);
                        image.text(list + index * 16 + 8, &header.second);
                    }
                    image.text(16, &text);
                }
                _ => {}
            }
            let list = image.room(edits.len() * 20);
            image.word(24, BASE + list as u32);
            image.word(28, edits.len() as u32);
            for (index, edit) in edits.iter().enumerate() {
                let at = list + index * 20;
                image.word(at, edit.kind.into());
                if edit.kind == 6 {
                    image.word(at + 4, u32::from(!edit.second.is_empty()));
                    image.text(at + 8, &edit.first);
                } else {
                    image.text(at + 4, &edit.first);
                    if [0, 1, 7].contains(&edit.kind) {
                        image.text(at + 12, &edit.second);
                    }
                }
            }
            for (at, byte) in flips {
                image.bytes[at] = byte;
            }
            image.bytes
        },
    )
}

#[test]
fn both_ways_agree_on_whatever_a_guest_returns() {
    let mirror = RefCell::new(None);
    let (accepted, refused) = (RefCell::new(0), RefCell::new(0));
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() });
    runner
        .run(&image(), |image| {
            let (hand, derived) = Mirror::both(&mirror, &image);
            *if hand.is_some() { &accepted } else { &refused }.borrow_mut() += 1;
            prop_assert_eq!(hand, derived);
            Ok(())
        })
        .unwrap();
    // A generator that only made garbage, or none, would prove nothing.
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert!(accepted > 200 && refused > 200, "{accepted} accepted, {refused} refused");
}

#[test]
fn any_bytes_at_all_are_a_decision_or_an_error() {
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() });
    let small = proptest::collection::vec(prop_oneof![2 => 0u8..8, 1 => any::<u8>()], 0..400);
    runner
        .run(&(small, any::<bool>()), |(memory, request)| {
            let phase = if request { Phase::Request } else { Phase::Response };
            let area = memory.get(..32.min(memory.len())).unwrap_or_default();
            if let Ok(decision) = lift_decision(&memory, area, phase) {
                prop_assert!(decision.edits.len() <= 256);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn both_ways_show_a_guest_the_same_head() {
    // The guest's own account of what it saw, once lowered by hand and once by derive.
    let plugin = sandbox().load(&guest("behave"), None).unwrap();
    let configured = plugin.configure(&serde_json::json!({}), patient(), Isolation::Worker, FailurePolicy::default(), "x").unwrap();
    let (exchange, head) = (exchange(), request(Some("q=1")));
    let interest = configured.plan().request.clone().unwrap();
    let by_hand = set_header(&configured.for_worker().on_request(&exchange, &head, &mut None).unwrap());

    let backing =
        Backing { limits: patient(), log: Log::new("x"), ticker: Arc::clone(&plugin.ticker), seed: (0, 0), rights: Arc::default() };
    let mut store = Store::new(plugin.linked.pre.engine(), State::new(Arc::new(backing), None));
    store.epoch_deadline_callback(on_tick);
    store.set_epoch_deadline(1);
    let instance = plugin.linked.pre.instantiate(&mut store).unwrap();
    let func: TypedFunc<(u64, types::RequestHead<'_>), (types::Decision,)> =
        instance.get_typed_func(&mut store, plugin.exports.request.unwrap()).unwrap();
    let mut lines = Lines::default();
    lines.look_up(&exchange, &head, &head.headers, &interest.shown);
    let attributes: Vec<_> = lines.shown().attributes.iter().map(|(name, value)| types::Attribute { name, value }).collect();
    let headers: Vec<_> = interest
        .shown
        .headers
        .iter()
        .flat_map(|name| head.headers.get_all(name).iter().map(move |value| types::Header { name: name.as_str(), value: value.as_bytes() }))
        .collect();
    let derived = types::RequestHead {
        method: "GET",
        scheme: "https",
        authority: &head.authority,
        path: &head.path,
        query: head.query.as_deref(),
        headers: &headers,
        attributes: &attributes,
    };
    let (decision,) = func.call(&mut store, (7, derived)).unwrap();
    let types::Edit::SetHeader(line) = &decision.edits[0] else { panic!() };
    assert_eq!(by_hand, String::from_utf8_lossy(&line.value));
    assert!(by_hand.contains("q=1"), "{by_hand}");
}

/// What is not asked for is empty, not left out: the guest sees sixteen values whatever it wants.
#[test]
fn nothing_asked_for_is_nothing_allocated() {
    let fails = "(if (i32.lt_u (local.get $size) (i32.const 64)) (then unreachable))";
    let bytes = raw(&[("(;REALLOC;)", fails)]);
    let settings = serde_json::json!({ "long": "x".repeat(100) });
    let guests = configure_with(&bytes, settings, patient(), Isolation::Worker).unwrap().for_worker();
    assert!(is_next(&on_request(&guests).unwrap()));
    assert_eq!(RequestInterest::default(), guests.configured_for_test().plan().request.clone().unwrap());
}
