//! A plugin with its settings: what all workers share of a link, and the sum of what its guests did.

use super::census::Census;
use super::clock::thread_cpu_time;
use super::connection::ConnectionPlan;
use super::fault::Broken;
use super::guest::{Bare, Guest};
use super::guests::Guests;
use super::imports::Errands;
use super::plan::Plan;
use super::plugin::Plugin;
use super::recent::Giver;
use super::state::Backing;
use crate::chain::{Cause, Fault};
use crate::config::{FailurePolicy, Isolation};
use crate::observe::{Counter, Gauge};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A plugin that has accepted its settings. Links of equal plugin, settings and policies can share one.
pub struct Configured {
    plugin: Arc<Plugin>,
    plan: Plan,
    connections: ConnectionPlan,
    settings: String,
    backing: Arc<Backing>,
    pub(super) isolation: Isolation,
    /// Whether its guests may have to wait: they run on stacks of their own.
    pub(super) waits: bool,
    pub(super) fail: FailurePolicy,
    census: Arc<Census>,
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
    /// Guests that are there now.
    pub alive: u64,
    /// Linear memory that they have now, bytes.
    pub bytes: u64,
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
    alive: Gauge,
    bytes: Gauge,
    cpu: Counter,
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
        (plan, connections): (Plan, ConnectionPlan),
        settings: String,
        backing: Arc<Backing>,
        (isolation, waits): (Isolation, bool),
        fail: FailurePolicy,
        census: Arc<Census>,
    ) -> Self {
        Self { plugin, plan, connections, settings, backing, isolation, waits, fail, census, tallies: Mutex::default() }
    }

    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// What it does and wants to see under these settings.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it does with connections under these settings.
    pub const fn connections(&self) -> &ConnectionPlan {
        &self.connections
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

    /// A fresh configured guest.
    pub(super) fn guest(&self) -> Result<Guest, Broken> {
        let (plugin, plan) = (&*self.plugin, &self.plan);
        let giver = if self.isolation == Isolation::Worker { Giver::new() } else { Giver::NOBODY };
        Bare::start(&plugin.linked.pre, &self.backing)?.configure(&plugin.exports, &self.settings, plan, &self.connections, giver)
    }

    /// A fresh configured guest that may wait.
    pub(super) async fn waiting_guest(&self, errands: Option<Errands>) -> Result<Guest, Broken> {
        let (plugin, plan) = (&*self.plugin, &self.plan);
        let pre = plugin.linked.waiting.as_ref().unwrap_or(&plugin.linked.pre);
        let bare = Bare::start_waiting(pre, &self.backing, errands).await?;
        bare.configure_waiting(&plugin.exports, &self.settings, plan).await
    }

    /// How long a call may take, waiting included.
    pub(super) fn time(&self) -> Duration {
        self.backing.limits.time
    }

    pub(super) fn fault(&self, broken: Broken) -> Fault {
        broken.into_fault(&self.fail)
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

    pub(super) fn add_to(&self, sum: Counts) -> Counts {
        let of = |cause: Cause| self.faults[cause as usize].load(Ordering::Relaxed);
        Counts {
            calls: sum.calls + self.calls.load(Ordering::Relaxed),
            guests: sum.guests + self.guests.load(Ordering::Relaxed),
            alive: sum.alive + self.alive.value(),
            bytes: sum.bytes + self.bytes.value(),
            cpu: sum.cpu + self.cpu.value(),
            trap: sum.trap + of(Cause::Trap),
            timeout: sum.timeout + of(Cause::Timeout),
            memory: sum.memory + of(Cause::Memory),
            bad_output: sum.bad_output + of(Cause::BadOutput),
            overload: sum.overload + of(Cause::Overload),
        }
    }
}

/// Right only with a single writer, which a tally has.
#[inline]
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
