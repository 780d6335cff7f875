//! A link's guests on one worker: the `Filter` that chains call.

use super::backoff::Backoff;
use super::configured::{Configured, Tally};
use super::fault::Broken;
use super::guest::Guest;
use crate::chain::{Cause, Decision, Fault, Filter, Verdict};
use crate::config::Isolation;
use crate::message::{Exchange, RequestHead, ResponseHead};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

/// With `isolate = "worker"` one guest, replaced after a fault; with `"request"` a fresh one for each exchange, held by its walk from one phase to
/// the next.
pub struct Guests {
    configured: Arc<Configured>,
    tally: Arc<Tally>,
    reused: RefCell<Reused>,
}

/// The guest of `isolate = "worker"`.
#[derive(Default)]
struct Reused {
    guest: Option<Guest>,
    backoff: Backoff,
}

impl Guests {
    pub(super) fn new(configured: Arc<Configured>, tally: Arc<Tally>) -> Self {
        Self { configured, tally, reused: RefCell::default() }
    }

    #[cfg(test)]
    pub(super) const fn configured_for_test(&self) -> &Arc<Configured> {
        &self.configured
    }

    #[inline]
    fn run(
        &self,
        held: &mut Option<Guest>,
        more: bool,
        call: impl FnOnce(&mut Guest) -> Result<Decision, Broken>,
    ) -> Result<Decision, Fault> {
        self.tally.called();
        let decided = match self.configured.isolation {
            Isolation::Worker => self.run_reused(call),
            Isolation::Request => self.run_fresh(held, more, call),
        };
        decided.map_err(|broken| self.fault(broken))
    }

    #[inline]
    fn run_reused(&self, call: impl FnOnce(&mut Guest) -> Result<Decision, Broken>) -> Result<Decision, Broken> {
        // Held over the call, which is synchronous and cannot come back here.
        let reused = &mut *self.reused.borrow_mut();
        let decided = match &mut reused.guest {
            Some(guest) => call(guest),
            none => self.replace(none, &reused.backoff)?.and_then(call),
        };
        match &decided {
            Ok(_) => reused.backoff.succeeded(),
            // The pool was empty when the guest was to be made: not the plugin's doing, and it may have room the next moment.
            Err(broken) if broken.cause == Cause::Overload => {}
            Err(_) => {
                reused.guest = None;
                reused.backoff.failed(Instant::now());
            }
        }
        decided
    }

    /// `Err`: no guest is to be made now, which is no new fault of the plugin's. `Ok(Err)`: it could not be made.
    #[cold]
    fn replace<'g>(&self, place: &'g mut Option<Guest>, backoff: &Backoff) -> Result<Result<&'g mut Guest, Broken>, Broken> {
        if let Some(left) = backoff.left(Instant::now()) {
            let detail = format!("replacement is held back for {left:?} after faults");
            return Err(Broken { cause: Cause::Overload, detail });
        }
        Ok(self.fresh().map(|guest| place.insert(guest)))
    }

    /// `more`: the exchange has another phase, so the guest is kept for it.
    #[inline]
    fn run_fresh(
        &self,
        held: &mut Option<Guest>,
        more: bool,
        call: impl FnOnce(&mut Guest) -> Result<Decision, Broken>,
    ) -> Result<Decision, Broken> {
        let mut guest = match held.take() {
            Some(guest) => guest,
            None => self.fresh()?,
        };
        let decision = call(&mut guest)?;
        if more && matches!(decision.verdict, Verdict::Next | Verdict::Forward(_)) {
            *held = Some(guest);
        }
        Ok(decision)
    }

    fn fresh(&self) -> Result<Guest, Broken> {
        self.tally.made();
        self.configured.guest()
    }

    #[cold]
    fn fault(&self, broken: Broken) -> Fault {
        self.tally.faulted(broken.cause);
        self.configured.fault(broken)
    }
}

impl Filter for Guests {
    type Held = Guest;

    fn phases(&self) -> (bool, bool) {
        let plan = self.configured.plan();
        (plan.request.is_some(), plan.response.is_some())
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead, held: &mut Option<Guest>) -> Result<Decision, Fault> {
        let plan = self.configured.plan();
        let Some(interest) = &plan.request else { return Ok(next()) };
        self.run(held, plan.response.is_some(), |guest| guest.on_request(exchange, head, interest))
    }

    fn on_response(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        held: &mut Option<Guest>,
    ) -> Result<Decision, Fault> {
        let Some(interest) = &self.configured.plan().response else { return Ok(next()) };
        self.run(held, false, |guest| guest.on_response(exchange, request, head, interest))
    }

    fn unknown_upstream(&self, name: &str) -> Fault {
        let reused = &mut *self.reused.borrow_mut();
        if reused.guest.take().is_some() {
            reused.backoff.failed(Instant::now());
        }
        self.fault(Broken::bad_output(format!("forwards to upstream \"{}\", which does not exist", name.escape_debug())))
    }
}

fn next() -> Decision {
    Decision { verdict: Verdict::Next, edits: Vec::new() }
}
