//! `wasi:clocks`: real time, and timers that can be looked at but not waited for.

use super::Cx;
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use std::sync::LazyLock;
use std::time::Instant;
use wasmtime::component::{ComponentType, Lower, Resource};

/// `wasi:io/poll.pollable`. Handle [`READY`] always is, others are numbers of timers.
pub(super) struct Pollable;

pub(super) const READY: u32 = 0;

/// Timers that a guest may hold at once. A guest that cannot wait needs hardly any; chosen arbitrarily.
const MOST_TIMERS: usize = 64;

/// A guest's timers: when each is due, on the monotonic clock in ns. `None`: a free place.
#[derive(Default)]
pub(in crate::sandbox) struct Timers(Vec<Option<u64>>);

impl Timers {
    fn subscribe(&mut self, due: u64) -> wasmtime::Result<u32> {
        if due <= now() {
            return Ok(READY);
        }
        let place = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if place >= MOST_TIMERS {
            return Err(Stop::TooMany("timers").into());
        }
        if place == self.0.len() {
            self.0.push(None);
        }
        self.0[place] = Some(due);
        Ok(place as u32 + 1)
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
    wall.func("now", |cx, ()| {
        let now = cx.data().backing.rights.time.wall();
        Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
    })?;
    wall.func("resolution", |_, ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))?;

    let mut monotonic = offer.interface("wasi:clocks/monotonic-clock")?;
    monotonic.func("now", |cx, ()| Ok((cx.data().backing.rights.time.monotonic(),)))?;
    monotonic.func("resolution", |_, ()| Ok((1u64,)))?;
    monotonic.func("subscribe-instant", |cx, (due,): (u64,)| subscribe(cx, due))?;
    monotonic.func("subscribe-duration", |cx, (after,): (u64,)| subscribe(cx, now().saturating_add(after)))
}

fn subscribe(mut cx: Cx<'_>, due: u64) -> wasmtime::Result<(Resource<Pollable>,)> {
    let state = cx.data_mut();
    let timer = state.timers.subscribe(due)?;
    Ok((state.handles.give(timer)?,))
}

/// ns since the first question in this process.
pub(in crate::sandbox) fn now() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
