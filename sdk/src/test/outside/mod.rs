//! What a plugin may reach beyond the exchange in hand, made for a test: a stopped clock, secrets, stores and upstreams, and what it logged
//! and counted.
//!
//! The functions at the end of this file are those of `abi::imports`, which stand here in a proxy.

mod given;
mod numbers;
mod places;
#[cfg(test)]
mod tests;

pub use given::Outside;
pub use places::{Answers, Asked};

use crate::http::{self, Request, Response};
use crate::kv;
use crate::log::Level;
use given::State;
use numbers::Kind;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static INSTALLED: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// What was installed on this thread; there until it is dropped. A test moves its clock, breaks what the plugin relies on, and asks what the
/// plugin did. Its stores are read and written with [`kv::Store`], as the plugin does it.
#[must_use = "it is taken away again when this is dropped"]
pub struct Installed(Rc<State>);

impl Outside {
    /// For everything that happens on this thread until the result is dropped.
    ///
    /// # Panics
    /// If one is installed already.
    #[track_caller]
    pub fn install(self) -> Installed {
        let state = Rc::new(self.into_state());
        let alone = INSTALLED.with_borrow(Option::is_none);
        assert!(alone, "an `Outside` is installed on this thread already; drop that one first");
        INSTALLED.set(Some(Rc::clone(&state)));
        Installed(state)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        INSTALLED.set(None);
    }
}

/// The installed one, to which `granted` must have been added.
fn outside<T>(capability: &str, add: &str, allow: &str, granted: impl FnOnce(&State) -> bool, run: impl FnOnce(&State) -> T) -> T {
    let installed = INSTALLED.with_borrow(Clone::clone);
    let Some(state) = installed.filter(|state| granted(state)) else {
        panic!(
            "the plugin uses `{capability}`, which this test does not give it: `test::Outside::new(){add}.install()`, and in the operator's file \
             `allow = {{ {allow} }}`"
        )
    };
    run(&state)
}

pub(crate) fn log(level: Level, message: &str) {
    outside("log", ".log()", "log = true", |state| state.log, |state| state.lines.borrow_mut().push((level, message.to_owned())));
}

pub(crate) fn now() -> u64 {
    outside("clock", ".clock(…)", "clock = true", |state| state.clock.is_some(), State::now)
}

pub(crate) fn monotonic() -> u64 {
    outside("clock", ".clock(…)", "clock = true", |state| state.clock.is_some(), State::monotonic)
}

pub(crate) fn bytes(length: u32) -> Vec<u8> {
    outside("random", ".random()", "random = true", |state| state.random, |state| state.random_bytes(length))
}

pub(crate) fn secret(name: &str) -> Option<Vec<u8>> {
    let add = format!(".secret({name:?}, …)");
    let allow = format!("secret = [{name:?}]");
    outside("secret", &add, &allow, |state| !state.secrets.is_empty(), |state| state.secrets.get(name).cloned())
}

fn number(kind: Kind, name: &str, labels: &[(&str, &str)], value: f64) {
    outside(
        "metrics",
        ".metrics()",
        "metrics = true",
        |state| state.metrics,
        |state| {
            state.numbers.borrow_mut().take(kind, name, labels, value);
        },
    );
}

fn traced<T>(run: impl FnOnce(&State) -> T) -> T {
    outside("tracing", ".tracing()", "tracing = true", |state| state.tracing, run)
}

pub(crate) fn set_attribute(name: &str, value: &str) {
    traced(|state| drop(state.attributes.borrow_mut().insert(name.to_owned(), value.to_owned())));
}

pub(crate) fn add_event(name: &str, attributes: &[(&str, &str)]) {
    assert!(attributes.len() <= 8, "fault: at most 8 attributes of an event, not {}", attributes.len());
    traced(|state| state.events.borrow_mut().push(name.to_owned()));
}

/// Always the same one: the example of the specification.
pub(crate) fn traceparent() -> Option<String> {
    traced(|_| Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()))
}

pub(crate) fn count(name: &str, labels: &[(&str, &str)], add: u64) {
    number(Kind::Counter, name, labels, add as f64);
}

pub(crate) fn gauge(name: &str, labels: &[(&str, &str)], value: f64) {
    number(Kind::Gauge, name, labels, value);
}

pub(crate) fn observe(name: &str, labels: &[(&str, &str)], value: f64) {
    number(Kind::Histogram, name, labels, value);
}

/// One operation on a store that was given, in the state it is in.
fn stored<T>(
    name: &str,
    key: &[u8],
    value: &[u8],
    run: impl FnOnce(&mut places::Store, u64) -> Result<T, kv::Error>,
) -> Result<T, kv::Error> {
    let (add, allow) = (format!(".store({name:?})"), format!("kv = [{name:?}]"));
    outside(
        "kv",
        &add,
        &allow,
        |state| !state.stores.is_empty(),
        |state| {
            assert!((1..=1 << 10).contains(&key.len()), "fault: a key has 1 to 1,024 bytes, not {}", key.len());
            assert!(value.len() <= 64 << 10, "fault: a value has at most 64 KiB, not {} bytes", value.len());
            let Some(store) = state.stores.get(name) else { return Err(kv::Error::Denied) };
            let mut store = store.borrow_mut();
            match &store.broken {
                Some(error) => Err(error.clone()),
                None => run(&mut store, state.monotonic()),
            }
        },
    )
}

pub(crate) fn get(store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, kv::Error> {
    stored(store, key, &[], |store, now| Ok(store.get(key, now)))
}

pub(crate) fn set(store: &str, key: &[u8], value: &[u8], ttl: Option<u64>) -> Result<(), kv::Error> {
    stored(store, key, value, |store, now| {
        store.put(key, value.to_vec(), ttl, now);
        Ok(())
    })
}

pub(crate) fn add(store: &str, key: &[u8], delta: i64, ttl: Option<u64>) -> Result<i64, kv::Error> {
    stored(store, key, &[], |store, now| store.add(key, delta, ttl, now))
}

pub(crate) fn compare_and_set(store: &str, key: &[u8], expected: Option<&[u8]>, value: &[u8], ttl: Option<u64>) -> Result<bool, kv::Error> {
    stored(store, key, value, |store, now| {
        let equal = store.get(key, now).as_deref() == expected;
        if equal {
            store.put(key, value.to_vec(), ttl, now);
        }
        Ok(equal)
    })
}

pub(crate) fn delete(store: &str, key: &[u8]) -> Result<bool, kv::Error> {
    stored(store, key, &[], |store, now| Ok(store.delete(key, now)))
}

pub(crate) fn take(store: &str, key: &[u8], units: u32, capacity: u32, interval: u64) -> Result<kv::Taken, kv::Error> {
    let length = interval.checked_mul(capacity.into()).filter(|length| (1..=366 * 24 * 3_600 * 1_000_000_000).contains(length));
    assert!(length.is_some() && units <= capacity, "fault: a bucket holds what is taken and fills within a year");
    stored(store, key, &[], |store, now| store.take(key, units, capacity, interval, now))
}

pub(crate) fn send(requests: &[Request<'_>]) -> Vec<Result<Response, http::Error>> {
    assert!(requests.len() <= 16, "fault: at most 16 requests at once, not {}", requests.len());
    requests.iter().map(send_one).collect()
}

fn send_one(request: &Request<'_>) -> Result<Response, http::Error> {
    let name = request.upstream;
    let (add, allow) = (format!(".upstream({name:?}, |request| …)"), format!("http = [{name:?}]"));
    outside(
        "http",
        &add,
        &allow,
        |state| !state.upstreams.is_empty(),
        |state| {
            let Some(upstream) = state.upstreams.get(name) else { return Err(http::Error::Denied) };
            places::check(request)?;
            state.asked.borrow_mut().push(Asked::of(request));
            upstream.borrow_mut()(request)
        },
    )
}
