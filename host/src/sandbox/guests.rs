//! A link's guests on one worker: the `Filter` that chains call.

use super::backoff::Backoff;
use super::configured::{Configured, Tally};
use super::fault::Broken;
use super::guest::Guest;
use super::imports::Errands;
use crate::chain::{Cause, ConnectionDecision, ConnectionFilter, ConnectionPhases, Decision, Fault, Filter, Hello, Verdict, Waiting};
use crate::config::Isolation;
use crate::message::{Admission, Arrival, Attributes, Ending, Exchange, RequestHead, ResponseHead};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Guests that may wait and have nothing to do, of one link and worker. Enough for a busy one; arbitrary.
const MOST_IDLE: usize = 64;

/// With `isolate = "worker"` one guest, replaced after a fault; with `"request"` a fresh one for each exchange, held by its walk from one phase to
/// the next.
pub struct Guests {
    configured: Arc<Configured>,
    tally: Arc<Tally>,
    reused: RefCell<Reused>,
    /// Of guests that may wait: those that serve nobody now. A waiting guest serves one exchange at a time.
    idle: RefCell<Vec<Guest>>,
    errands: Option<Errands>,
}

/// The guest of `isolate = "worker"`.
#[derive(Default)]
struct Reused {
    guest: Option<Guest>,
    backoff: Backoff,
}

impl Guests {
    pub(super) fn new(configured: Arc<Configured>, tally: Arc<Tally>, errands: Option<Errands>) -> Self {
        Self { configured, tally, reused: RefCell::default(), idle: RefCell::default(), errands }
    }

    /// Linear memory of a guest that is there now, bytes.
    pub fn memory(&self) -> Option<usize> {
        self.reused.borrow().guest.as_ref().or(self.idle.borrow().last()).map(Guest::memory)
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
        let goes_on = |decision: &Decision| more && matches!(decision.verdict, Verdict::Next | Verdict::Forward(_));
        self.enter(held, goes_on, call)
    }

    /// `goes_on`: there is another phase, so a guest that was made for this one is kept for it.
    #[inline]
    fn enter<T>(
        &self,
        held: &mut Option<Guest>,
        goes_on: impl FnOnce(&T) -> bool,
        call: impl FnOnce(&mut Guest) -> Result<T, Broken>,
    ) -> Result<T, Fault> {
        let sampled = self.tally.called();
        let decided = match self.configured.isolation {
            Isolation::Worker => self.run_reused(call),
            Isolation::Request => self.run_fresh(held, goes_on, call),
        };
        self.tally.returned(sampled);
        decided.map_err(|broken| self.fault(broken))
    }

    #[inline]
    fn run_reused<T>(&self, call: impl FnOnce(&mut Guest) -> Result<T, Broken>) -> Result<T, Broken> {
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

    #[inline]
    fn run_fresh<T>(
        &self,
        held: &mut Option<Guest>,
        goes_on: impl FnOnce(&T) -> bool,
        call: impl FnOnce(&mut Guest) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let mut guest = match held.take() {
            Some(guest) => guest,
            None => self.fresh()?,
        };
        let decision = call(&mut guest)?;
        if goes_on(&decision) {
            *held = Some(guest);
        }
        Ok(decision)
    }

    /// Whatever happens, the guest that runs is in nobody else's hands: if this future is dropped, so is the guest.
    async fn run_waiting(
        &self,
        held: &mut Option<Guest>,
        more: bool,
        call: impl AsyncFnOnce(&mut Guest) -> Result<Decision, Broken>,
    ) -> Result<Decision, Fault> {
        // Its CPU time is not taken: others run while it waits.
        let _untimed = self.tally.called();
        let time = self.configured.time();
        let decided = timeout(time, async {
            let mut guest = match held.take().or_else(|| self.idle.borrow_mut().pop()) {
                Some(guest) => guest,
                None => self.fresh_waiting().await?,
            };
            let decision = call(&mut guest).await?;
            if more && matches!(decision.verdict, Verdict::Next | Verdict::Forward(_)) {
                *held = Some(guest);
            } else {
                self.rest(guest);
            }
            Ok(decision)
        });
        let broken = match decided.await {
            Ok(Ok(decision)) => {
                self.reused.borrow_mut().backoff.succeeded();
                return Ok(decision);
            }
            Ok(Err(broken)) => broken,
            Err(_) => Broken { cause: Cause::Timeout, detail: format!("more than {time:?} with waiting") },
        };
        if broken.cause != Cause::Overload {
            self.reused.borrow_mut().backoff.failed(Instant::now());
        }
        Err(self.fault(broken))
    }

    async fn fresh_waiting(&self) -> Result<Guest, Broken> {
        if let Some(left) = self.reused.borrow().backoff.left(Instant::now()) {
            let detail = format!("replacement is held back for {left:?} after faults");
            return Err(Broken { cause: Cause::Overload, detail });
        }
        self.tally.made();
        self.configured.waiting_guest(self.errands.clone()).await.map(|guest| guest.counted(&self.tally))
    }

    /// A guest that is done waits for its next exchange, if exchanges may share one.
    fn rest(&self, guest: Guest) {
        let mut idle = self.idle.borrow_mut();
        if self.configured.isolation == Isolation::Worker && idle.len() < MOST_IDLE {
            idle.push(guest);
        }
    }

    fn fresh(&self) -> Result<Guest, Broken> {
        self.tally.made();
        self.configured.guest().map(|guest| guest.counted(&self.tally))
    }

    /// A decision that was well formed turned out to be impossible.
    #[cold]
    fn blame(&self, why: String) -> Fault {
        let reused = &mut *self.reused.borrow_mut();
        if reused.guest.take().is_some() {
            reused.backoff.failed(Instant::now());
        }
        self.fault(Broken::bad_output(why))
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

    fn waits(&self) -> bool {
        self.configured.waits
    }

    fn on_request_waiting<'f>(&'f self, exchange: &'f Exchange, head: &'f RequestHead, held: &'f mut Option<Guest>) -> Waiting<'f> {
        Box::pin(async move {
            let plan = self.configured.plan();
            let Some(interest) = &plan.request else { return Ok(next()) };
            let run = async |guest: &mut Guest| guest.on_request_waiting(exchange, head, interest).await;
            self.run_waiting(held, plan.response.is_some(), run).await
        })
    }

    fn on_response_waiting<'f>(
        &'f self,
        exchange: &'f Exchange,
        request: &'f RequestHead,
        head: &'f ResponseHead,
        held: &'f mut Option<Guest>,
    ) -> Waiting<'f> {
        Box::pin(async move {
            let Some(interest) = &self.configured.plan().response else { return Ok(next()) };
            let run = async |guest: &mut Guest| guest.on_response_waiting(exchange, request, head, interest).await;
            self.run_waiting(held, false, run).await
        })
    }

    fn unknown_upstream(&self, name: &str) -> Fault {
        self.blame(format!("forwards to upstream \"{}\", which does not exist", name.escape_debug()))
    }
}

impl ConnectionFilter for Guests {
    type Held = Guest;

    fn connection_phases(&self) -> ConnectionPhases {
        self.configured.connections().phases()
    }

    fn on_accept(&self, arrival: &Arrival, held: &mut Option<Guest>) -> Result<ConnectionDecision, Fault> {
        let plan = self.configured.connections();
        let Some(interest) = &plan.accept else { return Ok(onward()) };
        let more = plan.client_hello.is_some() || plan.close.is_some();
        self.enter(held, |decision| more && stays(decision), |guest| guest.on_accept(arrival, interest))
    }

    fn on_client_hello(&self, arrival: &Arrival, hello: Hello<'_>, held: &mut Option<Guest>) -> Result<ConnectionDecision, Fault> {
        let plan = self.configured.connections();
        let Some(interest) = &plan.client_hello else { return Ok(onward()) };
        let more = plan.close.is_some();
        self.enter(held, |decision| more && stays(decision), |guest| guest.on_client_hello(arrival, hello, interest))
    }

    fn on_close(&self, arrival: &Arrival, ending: &Ending, held: &mut Option<Guest>) -> Result<(), Fault> {
        let Some(interest) = &self.configured.connections().close else { return Ok(()) };
        self.enter(held, |()| false, |guest| guest.on_close(arrival, ending, interest))
    }

    fn misled(&self, why: &str) -> Fault {
        self.blame(why.to_owned())
    }
}

fn onward() -> ConnectionDecision {
    ConnectionDecision { admission: Admission::Onward, attributes: Attributes::new() }
}

/// Whether the link will see more of the connection.
fn stays(decision: &ConnectionDecision) -> bool {
    !matches!(decision.admission, Admission::Refuse(_))
}

fn next() -> Decision {
    Decision { verdict: Verdict::Next, edits: Vec::new() }
}
