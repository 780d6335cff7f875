//! A plugin with its settings: what all workers share of a link, and the sum of what its guests did.

use super::bodies::BodyPlan;
use super::census::Census;
use super::clock::thread_cpu_time;
use super::connection::ConnectionPlan;
use super::direct::{Direct, Start};
use super::fault::Broken;
use super::guest::{Bare, Guest};
use super::guests::Guests;
use super::imports::Errands;
use super::passing::Passing;
use super::plan::{Plan, Plans};
use super::plugin::{Grant, Plugin, Remember};
use super::recent::Giver;
use super::remembered::Forgets;
use super::state::Backing;
use super::upstreams::UpstreamPlan;
use crate::chain::{Cause, Fault};
use crate::config::{BreakerSpec, FailPolicy, FailurePolicy, Isolation};
use crate::observe::{Counter, Gauge, RateCap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A plugin that has accepted its settings. Links of equal plugin, settings and policies can share one.
pub struct Configured {
    plugin: Arc<Plugin>,
    plans: Plans,
    settings: String,
    backing: Arc<Backing>,
    pub(super) isolation: Isolation,
    /// Whether its guests may have to wait: they run on stacks of their own.
    pub(super) waits: bool,
    pub(super) fail: FailurePolicy,
    pub(super) breaker: BreakerSpec,
    /// A lock, because reports are few.
    reports: Mutex<RateCap>,
    /// Whether decisions are remembered; `Err`: why not.
    remembers: Result<(), Forgets>,
    /// What the operator wrote of that and of isolation, which may be less than what it came to.
    asked: (Option<Isolation>, Remember),
    census: Arc<Census>,
    /// What guests that serve one exchange after the other are set back to.
    start: Start,
    /// One of each worker. A lock, because it is taken when workers start and when metrics are read.
    tallies: Mutex<Vec<Arc<Tally>>>,
}

/// What guests did since the link was configured, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub calls: u64,
    pub trap: u64,
    pub timeout: u64,
    pub memory: u64,
    pub bad_output: u64,
    pub overload: u64,
    /// Guests made, first ones included.
    pub guests: u64,
    /// Calls that were answered from memory.
    pub hits: u64,
    /// Calls that could have been, if it had been there.
    pub misses: u64,
    /// Decisions remembered now, and their bytes, about.
    pub entries: u64,
    pub entry_bytes: u64,
    /// Guests that are there now.
    pub alive: u64,
    /// Linear memory that they have now, bytes.
    pub bytes: u64,
    /// Breakers that keep exchanges out now, and how many of them by ending them.
    pub open: u64,
    pub closed: u64,
    /// How often a breaker opened.
    pub opened: u64,
    /// CPU time of calls in nanoseconds, from one in some hundred; without calls that may wait.
    pub cpu: u64,
}

/// Every how many calls' time is taken: reading the CPU clock costs as much as a light call. Prime, so that the phases of a plugin that has
/// several take turns in being measured.
const SAMPLED: u64 = 257;

/// One worker's counts. Written by that worker only, so that adding is a load and a store.
#[derive(Default)]
pub(super) struct Tally {
    calls: AtomicU64,
    guests: AtomicU64,
    faults: [AtomicU64; 5],
    hits: AtomicU64,
    /// Likewise, with the links around it: each counts for all of them.
    together: Mutex<Vec<Arc<Counter>>>,
    /// What is remembered of this link with those after it, bytes.
    joint_bytes: Gauge,
    misses: AtomicU64,
    entries: AtomicU64,
    entry_bytes: AtomicU64,
    alive: Gauge,
    bytes: Gauge,
    cpu: Counter,
    /// When the breaker lets somebody in again, nanoseconds after `since`; past or zero: nobody is kept out.
    kept_out: Gauge,
    /// Whether exchanges end by that: the policy of what opened it.
    ends: Gauge,
    opened: Counter,
    since: Since,
}

/// What times are counted from.
struct Since(Instant);

impl Default for Since {
    fn default() -> Self {
        Self(Instant::now())
    }
}

/// A call whose time is taken.
pub(super) struct Sampled {
    since: Duration,
    /// How many calls it stands for.
    weight: u64,
}

impl Configured {
    pub(super) fn new(
        plugin: Arc<Plugin>,
        plans: Plans,
        settings: String,
        backing: Arc<Backing>,
        (isolation, waits): (Isolation, bool),
        (fail, breaker, remembers): (FailurePolicy, BreakerSpec, Result<(), Forgets>),
        (asked, census): ((Option<Isolation>, Remember), Arc<Census>),
    ) -> Self {
        // Reading a guest's debugging sections takes milliseconds of a worker's time.
        let reports = Mutex::new(RateCap::new(3, Duration::from_secs(2)));
        let (tallies, start) = (Mutex::default(), Start::new());
        Self { plugin, plans, settings, backing, isolation, waits, fail, breaker, reports, asked, remembers, census, start, tallies }
    }

    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    #[inline]
    pub(super) fn passing(&self) -> &Passing {
        &self.plugin.passing
    }

    /// Whether a link of this name would get the same from this component, settings being equal: then its guests can go on.
    pub fn is(&self, digest: &[u8; 32], grant: &Grant, link: &str) -> bool {
        let Grant { limits, isolation, fail, rights, remember, breaker, census: _ } = grant;
        let backing = &self.backing;
        self.plugin.digest() == digest
            && (backing.limits, self.fail, self.breaker) == (*limits, *fail, *breaker)
            && self.asked == (*isolation, *remember)
            && backing.rights.is(rights)
            && backing.log.link() == link
    }

    /// All that it does under these settings.
    pub const fn plans(&self) -> &Plans {
        &self.plans
    }

    /// What it does and wants to see under these settings.
    pub const fn plan(&self) -> &Plan {
        &self.plans.heads
    }

    pub const fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Whether its decisions are remembered; `Err`: why not.
    pub const fn remembers(&self) -> Result<(), &Forgets> {
        match &self.remembers {
            Ok(()) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// What it does with connections under these settings.
    pub const fn connections(&self) -> &ConnectionPlan {
        &self.plans.connections
    }

    /// What it does with bodies under its settings.
    pub const fn bodies(&self) -> &BodyPlan {
        &self.plans.bodies
    }

    /// What it does on the way to upstreams under these settings.
    pub const fn upstreams(&self) -> &UpstreamPlan {
        &self.plans.upstreams
    }

    /// The filter of one worker.
    pub fn for_worker(self: &Arc<Self>) -> Guests {
        self.on_worker(None)
    }

    /// The same, for a worker that runs errands.
    pub fn on_worker(self: &Arc<Self>, errands: Option<Errands>) -> Guests {
        let tally = Arc::new(Tally::default());
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        self.census.enter(Arc::clone(&tally));
        Guests::new(Arc::clone(self), tally, errands)
    }

    /// Consistent to within the calls that run meanwhile.
    pub fn counts(&self) -> Counts {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().fold(Counts::default(), |sum, tally| tally.add_to(sum))
    }

    /// Of exchanges.
    const fn phases(&self) -> (bool, bool) {
        (self.plans.heads.request.is_some(), self.plans.heads.response.is_some())
    }

    /// A fresh configured guest.
    pub(super) fn guest(&self) -> Result<Guest, Broken> {
        let plugin = &*self.plugin;
        let giver = if self.isolation == Isolation::Worker { Giver::new() } else { Giver::NOBODY };
        if let Some(direct) = self.direct() {
            let image = (self.isolation == Isolation::Request).then_some(&self.start);
            return Guest::inside(direct, (plugin.linked.pre.engine(), &self.backing), &self.settings, (giver, image));
        }
        Bare::start(&plugin.linked.pre, &self.backing)?.configure(&plugin.exports, &self.settings, &self.plans, giver)
    }

    fn direct(&self) -> Option<&Direct> {
        self.plugin.direct.as_ref().filter(|direct| direct.has(self.phases()) && self.plans.only_heads())
    }

    /// A guest that has served an exchange, as good as fresh; `None`: it is gone.
    pub(super) fn set_back(&self, guest: Guest) -> Option<Guest> {
        guest.set_back(self.direct()?, &self.start)
    }

    /// A fresh configured guest that may wait.
    pub(super) async fn waiting_guest(&self, errands: Option<Errands>) -> Result<Guest, Broken> {
        let plugin = &*self.plugin;
        let pre = plugin.linked.waiting.as_ref().unwrap_or(&plugin.linked.pre);
        let bare = Bare::start_waiting(pre, &self.backing, errands).await?;
        bare.configure_waiting(&plugin.exports, &self.settings, &self.plans).await
    }

    /// How long a call may take, waiting included.
    pub(super) fn time(&self) -> Duration {
        self.backing.limits.time
    }

    pub(super) fn fault(&self, broken: Broken) -> Fault {
        broken.into_fault(&self.fail, |trace| {
            let admitted = self.reports.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
            admitted.map(|_| trace.text(self.plugin.lines.as_ref()))
        })
    }

    /// What logs call the link.
    pub(super) fn link(&self) -> &str {
        self.backing.log.link()
    }
}

impl Tally {
    #[inline]
    pub(super) fn called(&self) -> Option<Sampled> {
        let before = self.calls.load(Ordering::Relaxed);
        self.calls.store(before + 1, Ordering::Relaxed);
        // The first stands for itself, later ones for those since the last.
        before.is_multiple_of(SAMPLED).then(|| Sampled { since: thread_cpu_time(), weight: before.clamp(1, SAMPLED) })
    }

    /// The call is over.
    #[inline]
    pub(super) fn returned(&self, sampled: Option<Sampled>) {
        if let Some(Sampled { since, weight }) = sampled {
            let took = thread_cpu_time().saturating_sub(since).as_nanos();
            self.cpu.add(u64::try_from(took).unwrap_or(0).saturating_mul(weight));
        }
    }

    /// All calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed) + self.together()
    }

    /// Calls that were answered together with those of other links.
    pub(super) fn together(&self) -> u64 {
        self.counters().iter().map(|counter| counter.value()).sum()
    }

    fn counters(&self) -> MutexGuard<'_, Vec<Arc<Counter>>> {
        self.together.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is added there counts as calls that are recalled.
    pub(super) fn joins(&self, counter: &Arc<Counter>) {
        self.counters().push(Arc::clone(counter));
    }

    /// Nothing more is added there. To be called by the worker, once for each [`Self::joins`].
    pub(super) fn parts(&self, counter: &Arc<Counter>) {
        // Held over the adding, so that whoever reads meanwhile misses nothing and sees nothing twice.
        let mut counters = self.counters();
        if let Some(place) = counters.iter().position(|known| Arc::ptr_eq(known, counter)) {
            counters.swap_remove(place);
            for total in [&self.calls, &self.hits] {
                total.store(total.load(Ordering::Relaxed) + counter.value(), Ordering::Relaxed);
            }
        }
    }

    /// The breaker opened for this long; `then`: what becomes of exchanges.
    pub(super) fn opened(&self, pause: Duration, then: FailPolicy) {
        self.kept_out.set(self.nanos().saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX)));
        self.ends.set((then == FailPolicy::Closed).into());
        self.opened.one();
    }

    pub(super) fn closed(&self) {
        self.kept_out.set(0);
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.since.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A guest is there, with this much memory.
    pub(super) fn born(&self, bytes: usize) {
        self.alive.add(1);
        self.bytes.add(bytes as u64);
    }

    pub(super) fn grown(&self, bytes: usize) {
        self.bytes.add(bytes as u64);
    }

    pub(super) fn gone(&self, bytes: usize) {
        self.alive.sub(1);
        self.bytes.sub(bytes as u64);
    }

    pub(super) fn made(&self) {
        add_one(&self.guests);
    }

    pub(super) fn faulted(&self, cause: Cause) {
        add_one(&self.faults[cause as usize]);
    }

    /// A call that no guest had to answer, and that took next to no time.
    #[inline]
    pub(super) fn recalled(&self) {
        add_one(&self.calls);
        add_one(&self.hits);
    }

    pub(super) fn missed(&self) {
        add_one(&self.misses);
    }

    pub(super) fn remembers(&self, entries: usize, bytes: usize) {
        self.entries.store(entries as u64, Ordering::Relaxed);
        self.entry_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// The same of what this link and those after it remember together, of which there are `now` bytes instead of `before`.
    pub(super) fn remembers_jointly(&self, before: usize, now: usize) {
        self.joint_bytes.sub(before as u64);
        self.joint_bytes.add(now as u64);
    }

    pub(super) fn add_to(&self, sum: Counts) -> Counts {
        // Who keeps nobody out any more waits for a trial, which must be let come.
        let open = self.kept_out.value() > 0 && self.kept_out.value() > self.nanos();
        let of = |cause: Cause| self.faults[cause as usize].load(Ordering::Relaxed);
        let counters = self.counters();
        let together = counters.iter().map(|counter| counter.value()).sum::<u64>();
        Counts {
            calls: sum.calls + self.calls.load(Ordering::Relaxed) + together,
            guests: sum.guests + self.guests.load(Ordering::Relaxed),
            alive: sum.alive + self.alive.value(),
            bytes: sum.bytes + self.bytes.value(),
            open: sum.open + u64::from(open),
            closed: sum.closed + if open { self.ends.value() } else { 0 },
            opened: sum.opened + self.opened.value(),
            cpu: sum.cpu + self.cpu.value(),
            trap: sum.trap + of(Cause::Trap),
            timeout: sum.timeout + of(Cause::Timeout),
            memory: sum.memory + of(Cause::Memory),
            bad_output: sum.bad_output + of(Cause::BadOutput),
            overload: sum.overload + of(Cause::Overload),
            hits: sum.hits + self.hits.load(Ordering::Relaxed) + together,
            misses: sum.misses + self.misses.load(Ordering::Relaxed),
            entries: sum.entries + self.entries.load(Ordering::Relaxed),
            entry_bytes: sum.entry_bytes + self.entry_bytes.load(Ordering::Relaxed) + self.joint_bytes.value(),
        }
    }
}

/// Right only with a single writer, which a tally has.
#[inline]
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
