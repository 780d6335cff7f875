//! `wasi:clocks`: real time, and timers that can be looked at but not waited for.

use super::offer::Offer;
use crate::sandbox::fault::Stop;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use wasmtime::component::{ComponentType, Lower, Resource};

/// `wasi:io/poll.pollable`. Handle 0 is always ready, others are numbers of timers.
pub(super) struct Pollable;

impl Pollable {
    pub(super) fn now() -> Resource<Self> {
        Resource::new_own(0)
    }
}

/// Timers that a guest may hold at once. A guest that cannot wait needs hardly any; chosen arbitrarily.
const MOST_TIMERS: usize = 64;

/// A guest's timers: when each is due, on the monotonic clock in ns. `None`: a free place.
#[derive(Default)]
pub(in crate::sandbox) struct Timers(Vec<Option<u64>>);

impl Timers {
    fn subscribe(&mut self, due: u64) -> wasmtime::Result<Resource<Pollable>> {
        if due <= now() {
            return Ok(Pollable::now());
        }
        let place = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if place >= MOST_TIMERS {
            return Err(Stop::TooMuch("too many timers").into());
        }
        if place == self.0.len() {
            self.0.push(None);
        }
        self.0[place] = Some(due);
        Ok(Resource::new_own(place as u32 + 1))
    }

    pub(super) fn ready(&self, rep: u32) -> bool {
        let due = rep.checked_sub(1).and_then(|place| self.0.get(place as usize).copied().flatten());
        due.is_none_or(|due| due <= now())
    }

    pub(super) fn free(&mut self, rep: u32) {
        if let Some(place) = rep.checked_sub(1).and_then(|place| self.0.get_mut(place as usize)) {
            *place = None;
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut wall = offer.interface("wasi:clocks/wall-clock")?;
    wall.func("now", |_, ()| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
    })?;
    wall.func("resolution", |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))?;

    let mut monotonic = offer.interface("wasi:clocks/monotonic-clock")?;
    monotonic.func("now", |_, ()| Ok((now(),)))?;
    monotonic.func("resolution", |_, ()| Ok((1u64,)))?;
    monotonic.func("subscribe-instant", |mut cx, (due,): (u64,)| Ok((cx.data_mut().timers.subscribe(due)?,)))?;
    monotonic.func("subscribe-duration", |mut cx, (after,): (u64,)| Ok((cx.data_mut().timers.subscribe(now().saturating_add(after))?,)))
}

/// ns since the first question in this process.
fn now() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
