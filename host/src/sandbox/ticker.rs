//! Advances the engine's epoch once a millisecond while guests run, and sleeps while none do.
//!
//! A guest looks at the epoch in each loop and function; when it has passed the store's deadline, `clock` decides. The cost to a
//! call is one relaxed load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;
use wasmtime::{Engine, EngineWeak};

pub(super) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a call after which the ticker parks, beyond the longest limit of any guest. Chosen so that a server with some
/// traffic never parks.
const LINGER: u64 = 250;

const PARKED: u8 = 0;
const IDLE: u8 = 1;
const BUSY: u8 = 2;
const STOP: u8 = 3;

/// One thread per engine. Dropping it ends the thread.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    join: Option<JoinHandle<()>>,
}

struct Shared {
    state: AtomicU8,
    /// The longest CPU limit of any guest, in ticks.
    longest: AtomicU64,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: AtomicU8::new(PARKED), longest: AtomicU64::new(0) });
        let (engine, theirs) = (engine.weak(), Arc::clone(&shared));
        let join = thread::Builder::new().name("guest-ticker".into()).spawn(move || run(&theirs, &engine))?;
        Ok(Self { shared, thread: join.thread().clone(), join: Some(join) })
    }

    /// The ticker goes on for at least this long after it was roused.
    pub(super) fn cover(&self, limit: Duration) {
        let ticks = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.shared.longest.fetch_max(ticks, Ordering::Relaxed);
    }

    /// To be called before each call of a guest, and whenever a deadline is set anew: no deadline is further away than the
    /// ticker ticks from here.
    #[inline]
    pub(super) fn rouse(&self) {
        if self.shared.state.load(Ordering::Relaxed) != BUSY {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if self.shared.state.swap(BUSY, Ordering::AcqRel) == PARKED {
            self.thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.store(STOP, Ordering::Release);
        self.thread.unpark();
        if let Some(join) = self.join.take() {
            // A panic in it has been printed; there is nothing else to do about it here.
            drop(join.join());
        }
    }
}

/// A call that saw BUSY began before the ticker set IDLE, and from then on the ticker ticks for `longest + LINGER` more.
fn run(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0u64;
    loop {
        match shared.state.load(Ordering::Acquire) {
            STOP => return,
            PARKED => {
                thread::park();
                continue;
            }
            BUSY => {
                idle = 0;
                // Fails only when stopping, which the next round sees.
                let _ = shared.state.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Relaxed);
            }
            _ if idle > LINGER.saturating_add(shared.longest.load(Ordering::Relaxed)) => {
                let _ = shared.state.compare_exchange(IDLE, PARKED, Ordering::AcqRel, Ordering::Relaxed);
                continue;
            }
            _ => idle += 1,
        }
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parks_when_idle_and_wakes_for_a_call() {
        let engine = Engine::default();
        let ticker = Ticker::start(&engine).unwrap();
        let state = || ticker.shared.state.load(Ordering::Acquire);
        let until = |wanted: &[u8]| {
            let begun = std::time::Instant::now();
            while !wanted.contains(&state()) {
                assert!(begun.elapsed() < Duration::from_secs(20), "state {} after 20 s", state());
                thread::yield_now();
            }
        };
        assert_eq!(state(), PARKED);
        ticker.rouse();
        assert_ne!(state(), PARKED);
        until(&[IDLE]);
        until(&[PARKED]);
        ticker.rouse();
        until(&[IDLE]);
    }
}
