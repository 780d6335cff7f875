//! Which guest an exchange is in, whose link looks at bodies. Unlike those of heads, such a guest keeps something between calls, so all calls for
//! an exchange must reach the same one, and when it is lost, all that it had open is.

use super::super::configured::{Configured, Tally};
use super::super::fault::Broken;
use super::super::guest::{Guest, Whose};
use super::super::imports::Errands;
use super::super::inputs::{Lines, RequestInputs, ResponseInputs};
use super::super::ward::Ward;
use super::phases;
use crate::chain::{Called, Cause, Decision, End, Fault, Hold, HoldPhases, Judged, Output, Start, Way};
use crate::config::Isolation;
use crate::message::trace::Standing;
use crate::message::{Exchange, RequestHead, ResponseHead};
use bytes::Bytes;
use http::HeaderMap;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The guests of one link on one worker.
pub(in super::super) struct Holds {
    configured: Arc<Configured>,
    tally: Arc<Tally>,
    errands: Option<Errands>,
    ward: Rc<Ward>,
    /// With `isolate = "worker"`: where exchanges that begin now are.
    current: RefCell<Rc<Place>>,
}

/// Where a guest is, or will be.
#[derive(Default)]
struct Place {
    slot: RefCell<Slot>,
    /// Held through calls that wait: both bodies of an exchange may want the guest at once.
    turn: Mutex<()>,
}

#[derive(Default)]
enum Slot {
    #[default]
    Unmade,
    Live(Guest),
    /// In a call that waits; so it stays if that is given up.
    Away,
    Lost(Cause),
}

/// One exchange's place in a link.
#[derive(Clone)]
pub struct BodyHold(Rc<Held>);

struct Held {
    holds: Rc<Holds>,
    place: Rc<Place>,
    exchange: u64,
    /// The calls in its trace that pieces of its bodies belong to.
    traces: RefCell<Traces>,
    /// The guest knows of the exchange.
    entered: Cell<bool>,
}

/// `None`: nothing is traced.
#[derive(Default)]
struct Traces {
    request: Option<Standing>,
    response: Option<Standing>,
}

impl Holds {
    pub fn new(ward: Rc<Ward>, errands: Option<Errands>) -> Rc<Self> {
        let (configured, tally) = (Arc::clone(&ward.configured), Arc::clone(&ward.tally));
        Rc::new(Self { configured, tally, errands, ward, current: RefCell::default() })
    }

    pub fn hold(self: &Rc<Self>, exchange: &Exchange) -> BodyHold {
        let place = if self.shares() { Rc::clone(&self.current.borrow()) } else { Rc::default() };
        BodyHold(Rc::new(Held {
            holds: Rc::clone(self),
            place,
            exchange: exchange.id.0,
            traces: RefCell::default(),
            entered: Cell::new(false),
        }))
    }

    /// Whether several exchanges are in one guest. A guest that may wait serves one at a time.
    fn shares(&self) -> bool {
        self.configured.isolation == Isolation::Worker && !self.configured.waits
    }

    fn may_make(&self) -> Result<(), Broken> {
        self.ward.admitted()?;
        self.tally.made();
        Ok(())
    }

    /// After a call: the guest stays where it is, or all who are in it learn that it is lost.
    fn settle<T>(&self, place: &Rc<Place>, outcome: &Result<T, Broken>) {
        match outcome {
            Ok(_) => self.ward.settle(None),
            Err(broken) if broken.cause == Cause::Overload => {}
            Err(broken) => {
                place.slot.replace(Slot::Lost(broken.cause));
                self.ward.settle(Some(broken));
                let mut current = self.current.borrow_mut();
                if Rc::ptr_eq(&current, place) {
                    *current = Rc::default();
                }
            }
        }
    }

    fn fault(&self, broken: Broken) -> Fault {
        self.ward.fault(broken)
    }
}

fn lost(cause: Cause) -> Broken {
    Broken::new(cause, "the guest that this exchange was in was lost by a fault in another".to_owned())
}

impl Held {
    /// A call of a guest that does not wait.
    fn now<T>(&self, call: impl AsyncFnOnce(&mut Guest) -> Result<T, Broken>) -> Called<T> {
        self.entered.set(true);
        let sampled = self.holds.tally.called();
        let outcome = self.enter(call);
        self.holds.tally.returned(sampled);
        Called::now(outcome.map_err(|broken| self.holds.fault(broken)))
    }

    fn enter<T>(&self, call: impl AsyncFnOnce(&mut Guest) -> Result<T, Broken>) -> Result<T, Broken> {
        // Held over the call, which is synchronous and cannot come back here.
        let mut slot = self.place.slot.borrow_mut();
        let outcome = match &mut *slot {
            Slot::Live(guest) => at_once(call(guest)),
            // No new fault of the plugin's.
            Slot::Lost(cause) => return Err(lost(*cause)),
            Slot::Away => return Err(lost(Cause::Trap)),
            unmade @ Slot::Unmade => {
                self.holds.may_make()?;
                self.holds.configured.guest().map(|guest| guest.counted(&self.holds.tally)).and_then(|mut guest| {
                    let outcome = at_once(call(&mut guest));
                    *unmade = Slot::Live(guest);
                    outcome
                })
            }
        };
        drop(slot);
        self.holds.settle(&self.place, &outcome);
        outcome
    }

    /// A call of a guest that may wait. While it does, the guest is in this future's hands and dropped with it.
    fn later<T: 'static>(self: &Rc<Self>, call: impl AsyncFnOnce(&mut Guest) -> Result<T, Broken> + 'static) -> Called<T> {
        let _untimed = self.holds.tally.called();
        let held = Rc::clone(self);
        Called::Later(Box::pin(async move {
            let _turn = held.place.turn.lock().await;
            let time = held.holds.configured.time();
            let called = timeout(time, async {
                let mut guest = match held.place.slot.replace(Slot::Away) {
                    Slot::Live(guest) => guest,
                    Slot::Unmade => {
                        held.holds.may_make()?;
                        held.holds.configured.waiting_guest(held.holds.errands.clone()).await?.counted(&held.holds.tally)
                    }
                    Slot::Away => return Err(lost(Cause::Timeout)),
                    Slot::Lost(cause) => return Err(lost(cause)),
                };
                let outcome = call(&mut guest).await;
                held.place.slot.replace(Slot::Live(guest));
                outcome
            });
            let late = |_| Err(Broken::timeout(format!("more than {time:?} with waiting")));
            let outcome = called.await.unwrap_or_else(late);
            held.holds.settle(&held.place, &outcome);
            outcome.map_err(|broken| held.holds.fault(broken))
        }))
    }

    fn waits(&self) -> bool {
        self.holds.configured.waits
    }

    /// Of a piece.
    fn whose(&self, way: Way) -> Whose {
        let traces = self.traces.borrow();
        let trace = match way {
            Way::Request => &traces.request,
            Way::Response => &traces.response,
        };
        Whose { exchange: self.exchange, trace: trace.clone() }
    }
}

impl Drop for Held {
    /// What the guest keeps for this exchange can go, if others are in it too; else it goes as a whole.
    fn drop(&mut self) {
        if !self.entered.get() || !self.holds.shares() || !matches!(&*self.place.slot.borrow(), Slot::Live(_)) {
            return;
        }
        let exchange = self.exchange;
        let outcome = self.enter(async |guest: &mut Guest| guest.release(exchange));
        if let Err(broken) = outcome {
            // Nobody is left whose exchange could end by it; it is counted, and the guest is gone.
            tracing::debug!("a guest faulted when it released an exchange: {}", broken.detail);
            self.holds.tally.faulted(broken.cause);
        }
    }
}

impl Hold for BodyHold {
    fn phases(&self) -> HoldPhases {
        phases(self.0.holds.configured.plan(), self.0.holds.configured.bodies())
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead) -> Called<Decision> {
        let configured = &self.0.holds.configured;
        let Some(interest) = &configured.plan().request else { return Called::now(Ok(Decision::next())) };
        if self.0.waits() {
            let (exchange, head, configured) = (exchange.clone(), head.clone(), Arc::clone(configured));
            return self.0.later(async move |guest: &mut Guest| match &configured.plan().request {
                Some(interest) => {
                    let mut lines = Lines::default();
                    lines.look_up(&exchange, &head, &head.headers, &interest.shown);
                    let inputs = RequestInputs::new(&exchange, &head, interest, lines.shown());
                    guest.on_request_waiting(&exchange, &inputs, configured.passing()).await
                }
                None => Ok(Decision::next()),
            });
        }
        let mut lines = Lines::default();
        lines.look_up(exchange, head, &head.headers, &interest.shown);
        let inputs = RequestInputs::new(exchange, head, interest, lines.shown());
        self.0.now(async |guest: &mut Guest| guest.on_request(exchange, &inputs, configured.passing()))
    }

    fn on_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead) -> Called<Decision> {
        let configured = &self.0.holds.configured;
        let Some(interest) = &configured.plan().response else { return Called::now(Ok(Decision::next())) };
        if self.0.waits() {
            let (exchange, request, head, configured) = (exchange.clone(), request.clone(), head.clone(), Arc::clone(configured));
            return self.0.later(async move |guest: &mut Guest| match &configured.plan().response {
                Some(interest) => {
                    let mut lines = Lines::default();
                    lines.look_up(&exchange, &request, &head.headers, &interest.shown);
                    let inputs = ResponseInputs::new(&exchange, &head, interest, lines.shown());
                    guest.on_response_waiting(&exchange, &inputs, configured.passing()).await
                }
                None => Ok(Decision::next()),
            });
        }
        let mut lines = Lines::default();
        lines.look_up(exchange, request, &head.headers, &interest.shown);
        let inputs = ResponseInputs::new(exchange, head, interest, lines.shown());
        self.0.now(async |guest: &mut Guest| guest.on_response(exchange, &inputs, configured.passing()))
    }

    fn begin_request(&self, exchange: &Exchange, head: &RequestHead, length: Option<u64>) -> Called<Start> {
        self.0.traces.borrow_mut().request.clone_from(&exchange.trace);
        let configured = Arc::clone(&self.0.holds.configured);
        if self.0.waits() {
            let (exchange, head) = (exchange.clone(), head.clone());
            return self
                .0
                .later(async move |guest: &mut Guest| guest.begin_request(&exchange, &head, length, configured.bodies(), true).await);
        }
        self.0.now(async |guest: &mut Guest| guest.begin_request(exchange, head, length, configured.bodies(), false).await)
    }

    fn begin_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead, length: Option<u64>) -> Called<Start> {
        self.0.traces.borrow_mut().response.clone_from(&exchange.trace);
        let configured = Arc::clone(&self.0.holds.configured);
        if self.0.waits() {
            let (exchange, request, head) = (exchange.clone(), request.clone(), head.clone());
            return self.0.later(async move |guest: &mut Guest| {
                guest.begin_response(&exchange, &request, &head, length, configured.bodies(), true).await
            });
        }
        self.0.now(async |guest: &mut Guest| guest.begin_response(exchange, request, head, length, configured.bodies(), false).await)
    }

    fn watch(&self, way: Way, piece: &Bytes) -> Called<()> {
        let whose = self.0.whose(way);
        if self.0.waits() {
            let piece = piece.clone();
            return self.0.later(async move |guest: &mut Guest| guest.watch(&whose, way, &piece, true).await);
        }
        self.0.now(async |guest: &mut Guest| guest.watch(&whose, way, piece, false).await)
    }

    fn transform(&self, way: Way, piece: &Bytes) -> Called<Output> {
        let whose = self.0.whose(way);
        if self.0.waits() {
            let piece = piece.clone();
            return self.0.later(async move |guest: &mut Guest| guest.transform(&whose, way, &piece, true).await);
        }
        self.0.now(async |guest: &mut Guest| guest.transform(&whose, way, piece, false).await)
    }

    fn end(&self, way: Way, trailers: &HeaderMap) -> Called<End> {
        let whose = self.0.whose(way);
        if self.0.waits() {
            let trailers = trailers.clone();
            return self.0.later(async move |guest: &mut Guest| guest.end(&whose, way, &trailers, true).await);
        }
        self.0.now(async |guest: &mut Guest| guest.end(&whose, way, trailers, false).await)
    }

    fn whole(&self, way: Way, bytes: &Bytes, trailers: &HeaderMap) -> Called<Judged> {
        let whose = self.0.whose(way);
        if self.0.waits() {
            let (bytes, trailers) = (bytes.clone(), trailers.clone());
            return self.0.later(async move |guest: &mut Guest| guest.whole(&whose, way, &bytes, &trailers, true).await);
        }
        self.0.now(async |guest: &mut Guest| guest.whole(&whose, way, bytes, trailers, false).await)
    }

    fn unknown_upstream(&self, name: &str) -> Fault {
        let broken = Broken::bad_output(format!("forwards to upstream \"{}\", which does not exist", name.escape_debug()));
        self.0.holds.settle::<()>(&self.0.place, &Err(broken.clone()));
        self.0.holds.fault(broken)
    }
}

/// What a guest answers that does not wait.
fn at_once<T>(call: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(Broken::bad_output("the guest waits, though nothing that it was granted has to be waited for")),
    }
}
