//! What a guest's store holds: its limits and its side of WASI. Cheap to make, since `isolate = "request"` makes one per exchange.

use super::clock::CpuClock;
use super::configured::Tally;
use super::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use super::imports::{Errands, Rights};
use super::ticker::Ticker;
use super::wasi::{Console, Handles, Log, Timers};
use crate::config::GuestLimits;
use crate::message::trace::Standing;
use std::sync::Arc;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

/// What all guests of one link share.
pub(super) struct Backing {
    pub(super) limits: GuestLimits,
    pub(super) log: Log,
    pub(super) ticker: Arc<Ticker>,
    /// Of hash maps in guests: constant, so that a guest stays a function of its inputs; random for each load, so that nobody
    /// outside can make keys collide.
    pub(super) seed: (u64, u64),
    pub(super) rights: Arc<Rights>,
}

/// What a function of the host is called with.
pub(super) type Cx<'a> = StoreContextMut<'a, State>;

pub(super) struct State {
    pub(super) ceiling: Ceiling,
    pub(super) clock: CpuClock,
    pub(super) console: Console,
    pub(super) timers: Timers,
    pub(super) handles: Handles,
    pub(super) backing: Arc<Backing>,
    /// The one of `backing`, near at hand: each call rouses it.
    pub(super) ticker: Arc<Ticker>,
    /// The id of the exchange whose phase runs.
    pub(super) exchange: Option<u64>,
    /// Where that stands in its trace.
    pub(super) trace: Option<Standing>,
    /// `None`: nothing can be sent from here.
    pub(super) errands: Option<Errands>,
}

impl State {
    pub(super) fn new(backing: Arc<Backing>, errands: Option<Errands>) -> Self {
        let (limits, ticker) = (backing.limits, Arc::clone(&backing.ticker));
        Self {
            ceiling: Ceiling::new(limits.memory),
            clock: CpuClock::new(limits.cpu),
            console: Console::default(),
            timers: Timers::default(),
            handles: Handles::default(),
            backing,
            ticker,
            exchange: None,
            trace: None,
            errands,
        }
    }
}

impl Drop for State {
    /// A guest's last words may lack a newline.
    fn drop(&mut self) {
        self.console.flush(&self.backing.log);
    }
}

/// The epoch has passed a store's deadline.
pub(super) fn on_tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    state.ticker.rouse();
    state.clock.tick()
}

/// How much a guest may grow. Refused growth is the guest's to handle (`memory.grow` gives -1); if it traps instead, `refused`
/// says why.
pub(super) struct Ceiling {
    /// All linear memories together, bytes.
    memory: usize,
    used: usize,
    pub(super) refused: Option<&'static str>,
    /// Whoever wants to know how much there is.
    tally: Option<Arc<Tally>>,
}

impl Ceiling {
    pub(super) fn count_in(&mut self, tally: &Arc<Tally>) {
        tally.born(self.used);
        self.tally = Some(Arc::clone(tally));
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        self.tally.iter().for_each(|tally| tally.gone(self.used));
    }
}

impl Ceiling {
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    pub(super) const fn new(memory: usize) -> Self {
        Self { memory, used: 0, refused: None, tally: None }
    }
}

impl ResourceLimiter for Ceiling {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.memory || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = Some("memory");
            return Ok(false);
        }
        self.tally.iter().for_each(|tally| tally.grown(used - self.used));
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
        if !fits {
            self.refused = Some("table entries");
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}
