//! A link's guests on one worker: the `Filter` that chains call.

use super::bodies::{BodyHold, Holds};
use super::configured::{Configured, Tally};
use super::fault::Broken;
use super::guest::Guest;
use super::imports::Errands;
use super::inputs::{Lines, RequestInputs, ResponseInputs};
use super::remembered::{GuestStretch, Known, Memory};
use super::ward::Ward;
use crate::chain::{
    Cause, ConnectionDecision, ConnectionFilter, ConnectionPhases, Decision, Fault, Filter, GoingOut, Hello, Said, Verdict, Waiting,
};
use crate::config::Isolation;
use crate::message::{
    Admission, Again, Arrival, Attributes, Choice, Done, Ending, Exchange, FailedAttempt, RequestHead, ResponseHead, Tick,
};
use http::StatusCode;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Guests that have nothing to do, of one link and worker. Enough for a busy one; arbitrary.
const MOST_IDLE: usize = 64;

/// With `isolate = "worker"` one guest, replaced after a fault; with `"request"` for each exchange a fresh one, or one as good as that (`renewal`),
/// held by its walk from one phase to the next.
pub struct Guests {
    pub(super) configured: Arc<Configured>,
    pub(super) tally: Arc<Tally>,
    /// The guest of `isolate = "worker"`.
    reused: RefCell<Option<Guest>>,
    /// Those that serve nobody now, of guests that may wait, which serve one exchange at a time, and of those that were set back.
    idle: RefCell<Vec<Guest>>,
    errands: Option<Errands>,
    pub(super) memory: Option<RefCell<Memory>>,
    /// `None`: it looks at no bodies.
    holds: Option<Rc<Holds>>,
    ward: Rc<Ward>,
    /// What the plans come to, where each exchange asks for it.
    phases: (bool, bool),
    waits: bool,
    going_out: GoingOut,
}

/// What an exchange holds between its phases.
#[derive(Default)]
pub struct Held {
    /// That has seen the request.
    guest: Option<Guest>,
    /// What was decided about the request, if that is remembered.
    asked: Option<Rc<Known>>,
}

impl Held {
    fn by(guest: Guest) -> Self {
        Self { guest: Some(guest), asked: None }
    }

    /// By nobody: it was known.
    pub(super) const fn asked(known: Rc<Known>) -> Self {
        Self { guest: None, asked: Some(known) }
    }
}

impl Guests {
    pub(super) fn new(configured: Arc<Configured>, tally: Arc<Tally>, errands: Option<Errands>) -> Self {
        let memory = configured.remembers().is_ok().then(|| RefCell::new(Memory::new(Arc::clone(&tally))));
        let bodies = configured.bodies().any();
        let ward = Rc::new(Ward::new(Arc::clone(&configured), Arc::clone(&tally)));
        let holds = bodies.then(|| Holds::new(Rc::clone(&ward), errands.clone()));
        let plan = configured.plan();
        let (phases, waits) = ((plan.request.is_some(), plan.response.is_some()), configured.waits);
        let going_out = configured.upstreams().phases();
        let (reused, idle) = (RefCell::default(), RefCell::default());
        Self { configured, tally, reused, idle, errands, memory, holds, ward, phases, waits, going_out }
    }

    /// Linear memory of a guest that is there now, bytes.
    pub fn memory(&self) -> Option<usize> {
        self.reused.borrow().as_ref().or(self.idle.borrow().last()).map(Guest::memory)
    }

    #[cfg(test)]
    pub(super) const fn configured_for_test(&self) -> &Arc<Configured> {
        &self.configured
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
        let decided = self.ward.admitted().and_then(|()| match self.configured.isolation {
            Isolation::Worker => self.run_reused(call),
            Isolation::Request => self.run_fresh(held, goes_on, call),
        });
        self.tally.returned(sampled);
        self.ward.settle(decided.as_ref().err());
        decided.map_err(|broken| self.ward.fault(broken))
    }

    #[inline]
    fn run_reused<T>(&self, call: impl FnOnce(&mut Guest) -> Result<T, Broken>) -> Result<T, Broken> {
        // Held over the call, which is synchronous and cannot come back here.
        let reused = &mut *self.reused.borrow_mut();
        let guest = match &mut *reused {
            Some(guest) => guest,
            none => none.insert(self.fresh()?),
        };
        let decided = call(guest);
        if decided.is_err() {
            *reused = None;
        }
        decided
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
        } else {
            self.rest(guest);
        }
        Ok(decision)
    }

    /// Whatever happens, the guest that runs is in nobody else's hands: if this future is dropped, so is the guest.
    async fn run_waiting<T>(
        &self,
        held: &mut Option<Guest>,
        goes_on: impl FnOnce(&T) -> bool,
        call: impl AsyncFnOnce(&mut Guest) -> Result<T, Broken>,
    ) -> Result<T, Fault> {
        // Its CPU time is not taken: others run while it waits.
        let _untimed = self.tally.called();
        if let Err(kept_out) = self.ward.admitted() {
            return Err(self.ward.fault(kept_out));
        }
        let time = self.configured.time();
        let decided = timeout(time, async {
            let mut guest = match held.take().or_else(|| self.idle.borrow_mut().pop()) {
                Some(guest) => guest,
                None => self.fresh_waiting().await?,
            };
            let decision = call(&mut guest).await?;
            if goes_on(&decision) {
                *held = Some(guest);
            } else {
                self.rest(guest);
            }
            Ok(decision)
        });
        let decided = decided.await.unwrap_or_else(|_| Err(Broken::timeout(format!("more than {time:?} with waiting"))));
        self.ward.settle(decided.as_ref().err());
        decided.map_err(|broken| self.ward.fault(broken))
    }

    async fn fresh_waiting(&self) -> Result<Guest, Broken> {
        self.tally.made();
        self.configured.waiting_guest(self.errands.clone()).await.map(|guest| guest.counted(&self.tally))
    }

    /// A guest that is done waits for its next exchange, if exchanges may share one or it can be made as good as fresh.
    fn rest(&self, guest: Guest) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MOST_IDLE {
            idle.extend(match self.configured.isolation {
                Isolation::Worker => Some(guest),
                Isolation::Request => self.configured.set_back(guest),
            });
        }
    }

    fn fresh(&self) -> Result<Guest, Broken> {
        if let Some(guest) = self.idle.borrow_mut().pop() {
            return Ok(guest);
        }
        self.tally.made();
        self.configured.guest().map(|guest| guest.counted(&self.tally))
    }

    /// A decision that was well formed turned out to be impossible.
    #[cold]
    fn blame(&self, why: String) -> Fault {
        self.reused.borrow_mut().take();
        if let Some(memory) = &self.memory {
            // It was remembered as a decision.
            memory.borrow_mut().forget();
        }
        self.ward.failed(Cause::BadOutput);
        self.ward.fault(Broken::bad_output(why))
    }
}

/// Decisions about exchanges.
impl Guests {
    /// By a guest.
    #[inline]
    fn decide_request(&self, exchange: &Exchange, inputs: &RequestInputs<'_>, guest: &mut Option<Guest>) -> Result<Decision, Fault> {
        let going_out = self.going_out();
        let more = self.phases.1 || going_out.any();
        // Who is told of the end is told whatever was decided.
        let stays = |decision: &Decision| going_out.done || (more && goes_on(decision));
        self.enter(guest, stays, |guest| guest.on_request(exchange, inputs, self.configured.passing()))
    }

    #[inline]
    fn decide_response(&self, exchange: &Exchange, inputs: &ResponseInputs<'_>, guest: &mut Option<Guest>) -> Result<Decision, Fault> {
        self.enter(guest, |_| self.going_out().done, |guest| guest.on_response(exchange, inputs, self.configured.passing()))
    }

    /// From memory, else by a guest.
    #[inline]
    fn recall_request(
        &self,
        memory: &RefCell<Memory>,
        exchange: &Exchange,
        inputs: &RequestInputs<'_>,
        held: &mut Option<Held>,
    ) -> Result<Decision, Fault> {
        let more = self.phases.1;
        if let Some(known) = memory.borrow_mut().request(inputs) {
            self.tally.recalled();
            let decision = known.decision.clone();
            if more && goes_on(&decision) {
                *held = Some(Held::asked(known));
            }
            return Ok(decision);
        }
        self.tally.missed();
        let mut guest = None;
        let decision = self.decide_request(exchange, inputs, &mut guest)?;
        // Nobody has asked since: the call was synchronous.
        let asked = memory.borrow_mut().keep_request(&decision);
        *held = guest.map(|guest| Held { guest: Some(guest), asked });
        Ok(decision)
    }

    #[inline]
    fn recall_response(
        &self,
        memory: &RefCell<Memory>,
        exchange: &Exchange,
        inputs: &ResponseInputs<'_>,
        held: &mut Option<Held>,
    ) -> Result<Decision, Fault> {
        let Held { mut guest, asked } = held.take().unwrap_or_default();
        if asked.is_none() && self.phases.0 {
            // The decision about the request could not be remembered, and what the guest made of it is in the guest alone.
            return self.decide_response(exchange, inputs, &mut guest);
        }
        if let Some(known) = memory.borrow_mut().response(asked.as_deref(), inputs) {
            self.tally.recalled();
            return Ok(known.decision.clone());
        }
        self.tally.missed();
        if let (None, Some(asked)) = (&guest, &asked) {
            guest = Some(self.caught_up(exchange, asked)?);
        }
        let decision = self.decide_response(exchange, inputs, &mut guest)?;
        memory.borrow_mut().keep_response(&decision);
        Ok(decision)
    }

    /// A guest that has seen the request about which `asked` was decided.
    #[cold]
    fn caught_up(&self, exchange: &Exchange, asked: &Known) -> Result<Guest, Fault> {
        let shown = || {
            let mut lines = Lines::default();
            let inputs = asked.request(&mut lines).ok_or_else(|| Broken::bad_output("what was remembered cannot be read"))?;
            let mut guest = self.fresh()?;
            guest.on_request(exchange, &inputs, self.configured.passing()).map(|_| guest)
        };
        shown().map_err(|broken| self.ward.fault(broken))
    }
}

fn goes_on(decision: &Decision) -> bool {
    matches!(decision.verdict, Verdict::Next | Verdict::Forward(_))
}

impl Filter for Guests {
    type Held = Held;
    type Hold = BodyHold;
    type Stretch = GuestStretch;

    #[inline]
    fn hold(&self, exchange: &Exchange) -> Option<BodyHold> {
        self.holds.as_ref().map(|holds| holds.hold(exchange))
    }

    fn stretches(&self) -> bool {
        self.memory.is_some()
    }

    #[inline]
    fn phases(&self) -> (bool, bool) {
        self.phases
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead, held: &mut Option<Held>) -> Result<Decision, Fault> {
        let Some(interest) = &self.configured.plan().request else { return Ok(Decision::next()) };
        let mut lines = Lines::default();
        lines.look_up(exchange, head, &head.headers, &interest.shown);
        let inputs = RequestInputs::new(exchange, head, interest, lines.shown());
        match &self.memory {
            Some(memory) => self.recall_request(memory, exchange, &inputs, held),
            None => {
                let mut guest = None;
                let decided = self.decide_request(exchange, &inputs, &mut guest);
                *held = guest.map(Held::by);
                decided
            }
        }
    }

    fn on_response(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        held: &mut Option<Held>,
    ) -> Result<Decision, Fault> {
        let Some(interest) = &self.configured.plan().response else { return Ok(Decision::next()) };
        let mut lines = Lines::default();
        lines.look_up(exchange, request, &head.headers, &interest.shown);
        let inputs = ResponseInputs::new(exchange, head, interest, lines.shown());
        match &self.memory {
            Some(memory) => self.recall_response(memory, exchange, &inputs, held),
            None => {
                let mut guest = held.take().and_then(|held| held.guest);
                let decided = self.decide_response(exchange, &inputs, &mut guest);
                *held = guest.map(Held::by);
                decided
            }
        }
    }

    #[inline]
    fn waits(&self) -> bool {
        self.waits
    }

    fn on_request_waiting<'f>(&'f self, exchange: &'f Exchange, head: &'f RequestHead, held: &'f mut Option<Held>) -> Waiting<'f> {
        Box::pin(async move {
            let plan = self.configured.plan();
            let Some(interest) = &plan.request else { return Ok(Decision::next()) };
            let mut lines = Lines::default();
            lines.look_up(exchange, head, &head.headers, &interest.shown);
            let inputs = RequestInputs::new(exchange, head, interest, lines.shown());
            let run = async |guest: &mut Guest| guest.on_request_waiting(exchange, &inputs, self.configured.passing()).await;
            let stays = |decision: &Decision| plan.response.is_some() && goes_on(decision);
            self.run_waiting(&mut held.insert(Held::default()).guest, stays, run).await
        })
    }

    fn on_response_waiting<'f>(
        &'f self,
        exchange: &'f Exchange,
        request: &'f RequestHead,
        head: &'f ResponseHead,
        held: &'f mut Option<Held>,
    ) -> Waiting<'f> {
        Box::pin(async move {
            let Some(interest) = &self.configured.plan().response else { return Ok(Decision::next()) };
            let mut lines = Lines::default();
            lines.look_up(exchange, request, &head.headers, &interest.shown);
            let inputs = ResponseInputs::new(exchange, head, interest, lines.shown());
            let run = async |guest: &mut Guest| guest.on_response_waiting(exchange, &inputs, self.configured.passing()).await;
            self.run_waiting(&mut held.get_or_insert_default().guest, |_| false, run).await
        })
    }

    fn impossible(&self, why: &str) -> Fault {
        self.blame(why.to_owned())
    }

    #[inline]
    fn going_out(&self) -> GoingOut {
        self.going_out
    }

    fn on_balance(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        choice: &Choice<'_>,
        held: &mut Option<Held>,
    ) -> Result<Said<Option<usize>>, Fault> {
        let Some(interest) = &self.configured.upstreams().balance else { return Ok(Said::only(None)) };
        self.enter(&mut held.get_or_insert_default().guest, |_| true, |guest| guest.on_balance(exchange, request, choice, interest))
    }

    fn judges(&self, status: StatusCode) -> bool {
        let attempt = self.configured.upstreams().attempt.as_ref();
        attempt.is_some_and(|interest| interest.statuses.binary_search(&status.as_u16()).is_ok())
    }

    fn on_attempt(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        failed: &FailedAttempt<'_>,
        held: &mut Option<Held>,
    ) -> Result<Said<Again>, Fault> {
        let Some(interest) = &self.configured.upstreams().attempt else { return Ok(Said::only(Again::AsConfigured)) };
        self.enter(&mut held.get_or_insert_default().guest, |_| true, |guest| guest.on_attempt(exchange, request, failed, interest))
    }

    fn on_done(&self, exchange: &Exchange, request: &RequestHead, done: &Done<'_>, held: &mut Option<Held>) -> Result<(), Fault> {
        let Some(interest) = &self.configured.upstreams().done else { return Ok(()) };
        self.enter(&mut held.get_or_insert_default().guest, |()| false, |guest| guest.on_done(exchange, request, done, interest))
    }
}

/// Ticks: the worker that owns these guests says when.
impl Guests {
    /// Between two ticks; `None`: there are none under these settings.
    pub fn ticks_every(&self) -> Option<Duration> {
        self.configured.upstreams().tick
    }

    /// What logs call the link.
    pub fn link(&self) -> &str {
        self.configured.link()
    }

    /// One tick.
    ///
    /// # Errors
    /// The guest broke its contract, and is replaced.
    pub async fn tick(&self, tick: Tick) -> Result<(), Fault> {
        if self.configured.waits {
            return self.run_waiting(&mut None, |()| false, async |guest: &mut Guest| guest.on_tick_waiting(tick).await).await;
        }
        self.enter(&mut None, |()| false, |guest| guest.on_tick(tick))
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

/// Whether the link will see more of the exchange.
fn onward() -> ConnectionDecision {
    ConnectionDecision { admission: Admission::Onward, attributes: Attributes::new() }
}

/// Whether the link will see more of the connection.
fn stays(decision: &ConnectionDecision) -> bool {
    !matches!(decision.admission, Admission::Refuse(_))
}
