//! What a test gives to the plugin, and what it is told afterwards.

use super::Installed;
use super::numbers::Numbers;
use super::places::{Answers, Asked, Store, Upstream};
use crate::http::Request;
use crate::kv;
use crate::log::Level;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an operator would grant, one method for each line of `allow`. Nothing at first: what the plugin uses beyond it is a panic that says what
/// to add, as the proxy refuses to load the plugin.
///
/// ```
/// use portcullis_sdk::{Reply, http, kv, test::Outside};
/// use std::time::Duration;
///
/// let outside = Outside::new()
///     .clock(Duration::from_secs(1_700_000_000))
///     .store("sessions")
///     .upstream("idp", |request: &http::Request| Reply::new(if request.path() == "/check" { 204 } else { 404 }))
///     .install();
///
/// // Here the plugin runs. This test does itself what a plugin would do.
/// let sessions = kv::Store::named("sessions");
/// sessions.set("a", "1", Some(Duration::from_secs(30))).unwrap();
/// assert_eq!(http::Request::get("idp", "/check").send().unwrap().status(), 204);
///
/// outside.advance(Duration::from_secs(30));
/// assert_eq!(sessions.get("a"), Ok(None), "it has expired");
/// outside.break_store("sessions", kv::Error::Unavailable("away".to_owned()));
/// assert!(sessions.get("a").is_err());
/// assert_eq!(outside.asked()[0].path, "/check");
/// ```
#[derive(Default)]
#[must_use = "it does nothing until it is installed"]
pub struct Outside(State);

/// What the test made, and what came of it.
#[derive(Default)]
pub(super) struct State {
    pub log: bool,
    /// When the test began, since the epoch.
    pub clock: Option<Duration>,
    pub random: bool,
    pub metrics: bool,
    pub tracing: bool,
    pub attributes: RefCell<BTreeMap<String, String>>,
    pub events: RefCell<Vec<String>>,
    pub secrets: BTreeMap<String, Vec<u8>>,
    pub stores: BTreeMap<String, RefCell<Store>>,
    pub upstreams: BTreeMap<String, RefCell<Upstream>>,
    /// Since the test began.
    passed: Cell<Duration>,
    /// Of the random numbers.
    seed: Cell<u64>,
    pub lines: RefCell<Vec<(Level, String)>>,
    pub numbers: RefCell<Numbers>,
    pub asked: RefCell<Vec<Asked>>,
}

/// What `monotonic` says when a test begins: not 0, which a plugin might take for "never".
const BEGIN: Duration = Duration::from_secs(1_000);

impl Outside {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn into_state(self) -> State {
        self.0
    }

    /// `log = true`; see [`Installed::logged`].
    pub fn log(mut self) -> Self {
        self.0.log = true;
        self
    }

    /// `clock = true`. The clock stands at this time since the epoch; see [`Installed::advance`].
    pub fn clock(mut self, now: Duration) -> Self {
        self.0.clock = Some(now);
        self
    }

    /// `random = true`. The same numbers in each test.
    pub fn random(mut self) -> Self {
        self.0.random = true;
        self
    }

    /// `metrics = true`; see [`Installed::counted`].
    pub fn metrics(mut self) -> Self {
        self.0.metrics = true;
        self
    }

    /// `tracing = true`; see [`Installed::traced`] and [`Installed::events`].
    pub fn tracing(mut self) -> Self {
        self.0.tracing = true;
        self
    }

    /// `secret = ["name"]`. Others are `None`.
    pub fn secret(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.secrets.insert(name.to_owned(), value.as_ref().to_vec());
        self
    }

    /// `kv = ["name"]`: an empty store in memory. Others are `Denied`.
    pub fn store(mut self, name: &str) -> Self {
        self.0.stores.insert(name.to_owned(), RefCell::default());
        self
    }

    /// `http = ["name"]`: an upstream that answers with a [`Reply`](crate::Reply), or a `Result` of one or an error. Others are `Denied`.
    pub fn upstream<A: Answers>(mut self, name: &str, mut answer: impl FnMut(&Request<'_>) -> A + 'static) -> Self {
        let upstream: Upstream = Box::new(move |request| answer(request).answer());
        self.0.upstreams.insert(name.to_owned(), RefCell::new(upstream));
        self
    }
}

impl Installed {
    /// Moves the clock on; what has a TTL grows older too.
    pub fn advance(&self, time: Duration) {
        self.0.passed.set(self.0.passed.get() + time);
    }

    /// From now on every operation on this store ends so.
    ///
    /// # Panics
    /// If there is no such store. So below.
    #[track_caller]
    pub fn break_store(&self, name: &str, error: kv::Error) {
        self.store(name).borrow_mut().broken = Some(error);
    }

    /// It works again, with what was in it.
    #[track_caller]
    pub fn mend_store(&self, name: &str) {
        self.store(name).borrow_mut().broken = None;
    }

    #[track_caller]
    fn store(&self, name: &str) -> &RefCell<Store> {
        self.0.stores.get(name).unwrap_or_else(|| panic!("this `Outside` has no store {name:?}"))
    }

    /// The lines so far.
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.0.lines.borrow().clone()
    }

    /// What a counter says; 0 if it was never added to.
    pub fn counted(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.0.numbers.borrow().counter(name, labels)
    }

    /// What a gauge says; `None` if it was never set.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.0.numbers.borrow().gauge(name, labels)
    }

    /// What a histogram observed.
    pub fn observed(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.0.numbers.borrow().observed(name, labels)
    }

    /// The latest value of an attribute of a span.
    pub fn traced(&self, name: &str) -> Option<String> {
        self.0.attributes.borrow().get(name).cloned()
    }

    /// The names of the events so far.
    pub fn events(&self) -> Vec<String> {
        self.0.events.borrow().clone()
    }

    /// The requests that were sent so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.borrow().clone()
    }
}

impl State {
    pub(super) fn now(&self) -> u64 {
        nanos(self.clock.unwrap_or_default() + self.passed.get())
    }

    pub(super) fn monotonic(&self) -> u64 {
        nanos(BEGIN + self.passed.get())
    }

    /// SplitMix64, which is enough to look random.
    pub(super) fn random_bytes(&self, length: u32) -> Vec<u8> {
        assert!(length <= 64 << 10, "fault: at most 64 KiB of random bytes at once, not {length}");
        let next = || {
            self.seed.set(self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
            let mut bits = self.seed.get();
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (bits ^ (bits >> 31)) as u8
        };
        (0..length).map(|_| next()).collect()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
