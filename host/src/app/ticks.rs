//! Ticks of plugins: each worker calls its own guests from time to time, for as long as they are in force (`wit/upstreams.wit`, `on-tick`).

use crate::message::Tick;
use crate::sandbox::Guests;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

/// The ticks of one worker and generation. Dropping it ends them.
#[derive(Default)]
pub struct Ticks(Vec<Ticking>);

/// Of one link. Dropping it ends them.
struct Ticking {
    guests: Weak<Guests>,
    task: AbortHandle,
}

/// After faults, no tick waits longer than this (or than its interval).
const LONGEST: Duration = Duration::from_secs(60);

impl Ticks {
    /// Those of the next generation. Guests that it shares with this one tick on; the others' ticks end with this value.
    /// `worker` of `workers`; they do not tick at the same moment.
    #[must_use]
    pub fn succeed(&mut self, guests: &[Rc<Guests>], (worker, workers): (u16, u16)) -> Self {
        let mut before = std::mem::take(&mut self.0);
        let ticking = guests.iter().filter_map(|guests| {
            let every = guests.ticks_every()?;
            if let Some(place) = before.iter().position(|ticking| ticking.guests.as_ptr() == Rc::as_ptr(guests)) {
                return Some(before.swap_remove(place));
            }
            let (tick, guests) = (Tick { number: 0, worker: worker.into(), workers: workers.into() }, Rc::downgrade(guests));
            let task = spawn_local(run(Weak::clone(&guests), every, tick)).abort_handle();
            Some(Ticking { guests, task })
        });
        Self(ticking.collect())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(guests: Weak<Guests>, every: Duration, mut tick: Tick) {
    let mut failed = 0;
    let mut due = Instant::now() + every + every * tick.worker / tick.workers.max(1);
    loop {
        sleep_until(due).await;
        let Some(guests) = guests.upgrade() else { return };
        match guests.tick(tick).await {
            Ok(()) => failed = 0,
            Err(fault) => {
                failed += 1;
                let (link, next) = (guests.link(), pause(every, failed));
                tracing::warn!(
                    "a tick of link {link} broke its contract ({}): {}; the next in {next:?}",
                    fault.cause.reason(),
                    fault.detail
                );
            }
        }
        tick.number += 1;
        let (pause, now) = (pause(every, failed), Instant::now());
        // One that came late is not made up for.
        due = Some(due + pause).filter(|due| *due > now).unwrap_or(now + pause);
    }
}

/// Until the next tick, after so many faults in a row.
fn pause(every: Duration, failed: u32) -> Duration {
    every.saturating_mul(2u32.saturating_pow(failed)).min(LONGEST.max(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_a_row_double_the_pause_up_to_a_minute() {
        let secs = |failed| pause(Duration::from_secs(5), failed).as_secs();
        assert_eq!([secs(0), secs(1), secs(2), secs(3), secs(4), secs(99)], [5, 10, 20, 40, 60, 60]);
        assert_eq!(pause(Duration::from_secs(3600), 7), Duration::from_secs(3600));
    }
}
