//! A filter that is looked at while it decides.

use super::going_out::{StepPhase, Steps};
use crate::chain::{
    Called, Decision, Edit, End, Fault, Filter, GoingOut, Hold, HoldPhases, Judged, NoStretch, Output, Said, Start, Verdict, Waiting, Want,
    Way,
};
use crate::message::{Again, Choice, Done, Exchange, FailedAttempt, RequestHead, ResponseHead};
use crate::sandbox::{BodyHold, Guests, Held};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One decision.
pub struct Seen {
    /// The filter's number.
    pub filter: usize,
    pub phase: Phase,
    /// In a phase of a body: its edits when that began, and what it decided when it had seen the whole.
    pub decided: Result<Decision, Fault>,
    /// Waiting included.
    pub took: Duration,
    /// In a phase of a body, once it has said what it wants.
    pub body: Option<Looked>,
}

/// How a filter looked at a body.
pub struct Looked {
    pub want: Want,
    pub pieces: usize,
    /// What it made of the trailers.
    pub trailers: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Request,
    RequestBody,
    Response,
    ResponseBody,
}

impl Phase {
    pub const fn export(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::RequestBody => "on-request-body",
            Self::Response => "on-response",
            Self::ResponseBody => "on-response-body",
        }
    }

    /// Which message it is about.
    pub const fn way(self) -> Way {
        match self {
            Self::Request | Self::RequestBody => Way::Request,
            Self::Response | Self::ResponseBody => Way::Response,
        }
    }

    const fn of_body(way: Way) -> Self {
        match way {
            Way::Request => Self::RequestBody,
            Way::Response => Self::ResponseBody,
        }
    }
}

/// Everything that was seen, in order.
pub type Notes = Rc<RefCell<Vec<Seen>>>;

/// Links of equal plugin and settings share their guests, and are told apart here.
pub struct Watched {
    filter: usize,
    guests: Rc<Guests>,
    notes: Notes,
    /// On the way to an upstream, and after.
    pub steps: Steps,
}

impl Watched {
    pub fn new(filter: usize, guests: Rc<Guests>, notes: &Notes) -> Self {
        Self { filter, guests, notes: Rc::clone(notes), steps: Steps::default() }
    }

    fn note(&self, phase: Phase, begun: Instant, decided: Result<Decision, Fault>) -> Result<Decision, Fault> {
        note(&self.notes, self.filter, phase, begun, &decided);
        decided
    }
}

fn note(notes: &Notes, filter: usize, phase: Phase, begun: Instant, decided: &Result<Decision, Fault>) {
    notes.borrow_mut().push(Seen { filter, phase, decided: decided.clone(), took: begun.elapsed(), body: None });
}

impl Filter for Watched {
    type Held = Held;
    type Hold = WatchedHold;
    type Stretch = NoStretch<Self>;

    fn phases(&self) -> (bool, bool) {
        self.guests.phases()
    }

    fn hold(&self, exchange: &Exchange) -> Option<WatchedHold> {
        let hold = self.guests.hold(exchange)?;
        Some(WatchedHold { filter: self.filter, hold, notes: Rc::clone(&self.notes) })
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead, held: &mut Option<Held>) -> Result<Decision, Fault> {
        let begun = Instant::now();
        self.note(Phase::Request, begun, self.guests.on_request(exchange, head, held))
    }

    fn on_response(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        held: &mut Option<Held>,
    ) -> Result<Decision, Fault> {
        let begun = Instant::now();
        self.note(Phase::Response, begun, self.guests.on_response(exchange, request, head, held))
    }

    fn waits(&self) -> bool {
        self.guests.waits()
    }

    fn on_request_waiting<'f>(&'f self, exchange: &'f Exchange, head: &'f RequestHead, held: &'f mut Option<Held>) -> Waiting<'f> {
        Box::pin(async move {
            let begun = Instant::now();
            let decided = self.guests.on_request_waiting(exchange, head, held).await;
            self.note(Phase::Request, begun, decided)
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
            let begun = Instant::now();
            let decided = self.guests.on_response_waiting(exchange, request, head, held).await;
            self.note(Phase::Response, begun, decided)
        })
    }

    fn impossible(&self, why: &str) -> Fault {
        let fault = self.guests.impossible(why);
        if !self.steps.spoil(&fault) {
            spoilt(&self.notes, &fault);
        }
        fault
    }

    fn going_out(&self) -> GoingOut {
        self.guests.going_out()
    }

    fn on_balance(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        choice: &Choice<'_>,
        held: &mut Option<Held>,
    ) -> Result<Said<Option<usize>>, Fault> {
        let said = self.guests.on_balance(exchange, request, choice, held);
        self.steps.balanced(&said, choice.candidates);
        said
    }

    fn judges(&self, status: StatusCode) -> bool {
        self.guests.judges(status)
    }

    fn on_attempt(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        failed: &FailedAttempt<'_>,
        held: &mut Option<Held>,
    ) -> Result<Said<Again>, Fault> {
        let said = self.guests.on_attempt(exchange, request, failed, held);
        self.steps.judged(&said, failed.candidates);
        said
    }

    fn on_done(&self, exchange: &Exchange, request: &RequestHead, done: &Done<'_>, held: &mut Option<Held>) -> Result<(), Fault> {
        let ended = self.guests.on_done(exchange, request, done, held);
        self.steps.told(StepPhase::Done, &ended);
        ended
    }
}

/// A decision was noted before it turned out to be impossible.
fn spoilt(notes: &Notes, fault: &Fault) {
    if let Some(last) = notes.borrow_mut().last_mut() {
        last.decided = Err(fault.clone());
    }
}

/// One exchange's place in a filter that looks at bodies.
#[derive(Clone)]
pub struct WatchedHold {
    filter: usize,
    hold: BodyHold,
    notes: Notes,
}

impl WatchedHold {
    /// Has what the filter answers noted when it is there. A call that waits is timed with its waiting.
    fn noting<T: 'static>(
        &self,
        call: impl FnOnce(&BodyHold) -> Called<T>,
        note: impl FnOnce(&Self, Instant, &Result<T, Fault>) + 'static,
    ) -> Called<T> {
        let begun = Instant::now();
        match call(&self.hold) {
            Called::Now(answer) => {
                if let Some(answer) = &answer {
                    note(self, begun, answer);
                }
                Called::Now(answer)
            }
            Called::Later(later) => {
                let own = self.clone();
                Called::Later(Box::pin(async move {
                    let answer = later.await;
                    note(&own, begun, &answer);
                    answer
                }))
            }
        }
    }

    fn decides(&self, phase: Phase, call: impl FnOnce(&BodyHold) -> Called<Decision>) -> Called<Decision> {
        self.noting(call, move |own, begun, decided| note(&own.notes, own.filter, phase, begun, decided))
    }

    fn begins(&self, way: Way, call: impl FnOnce(&BodyHold) -> Called<Start>) -> Called<Start> {
        self.noting(call, move |own, begun, start| {
            let decided = start.as_ref().map(|start| Decision { verdict: Verdict::Next, edits: start.edits.clone().into() });
            let body = start.as_ref().ok().map(|start| Looked { want: start.want, pieces: 0, trailers: Vec::new() });
            let (filter, phase) = (own.filter, Phase::of_body(way));
            own.notes.borrow_mut().push(Seen { filter, phase, decided: decided.map_err(Clone::clone), took: begun.elapsed(), body });
        })
    }

    /// Of a body that has begun.
    fn goes_on<T: 'static>(
        &self,
        way: Way,
        call: impl FnOnce(&BodyHold) -> Called<T>,
        add: impl FnOnce(&mut Seen, &T) + 'static,
    ) -> Called<T> {
        self.noting(call, move |own, begun, answer| {
            let mut notes = own.notes.borrow_mut();
            let of_this = |seen: &&mut Seen| seen.filter == own.filter && seen.phase == Phase::of_body(way);
            // What is not there was taken away by who looks at it, and is over for them.
            let Some(seen) = notes.iter_mut().rev().find(of_this) else { return };
            seen.took += begun.elapsed();
            match answer {
                Ok(answer) => add(seen, answer),
                Err(fault) => seen.decided = Err(fault.clone()),
            }
        })
    }
}

fn one_more(seen: &mut Seen) {
    if let Some(body) = &mut seen.body {
        body.pieces += 1;
    }
}

impl Hold for WatchedHold {
    fn phases(&self) -> HoldPhases {
        self.hold.phases()
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead) -> Called<Decision> {
        self.decides(Phase::Request, |hold| hold.on_request(exchange, head))
    }

    fn on_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead) -> Called<Decision> {
        self.decides(Phase::Response, |hold| hold.on_response(exchange, request, head))
    }

    fn begin_request(&self, exchange: &Exchange, head: &RequestHead, length: Option<u64>) -> Called<Start> {
        self.begins(Way::Request, |hold| hold.begin_request(exchange, head, length))
    }

    fn begin_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead, length: Option<u64>) -> Called<Start> {
        self.begins(Way::Response, |hold| hold.begin_response(exchange, request, head, length))
    }

    fn watch(&self, way: Way, piece: &Bytes) -> Called<()> {
        self.goes_on(way, |hold| hold.watch(way, piece), |seen, ()| one_more(seen))
    }

    fn transform(&self, way: Way, piece: &Bytes) -> Called<Output> {
        self.goes_on(way, |hold| hold.transform(way, piece), |seen, _| one_more(seen))
    }

    fn end(&self, way: Way, trailers: &HeaderMap) -> Called<End> {
        let add = |seen: &mut Seen, end: &End| {
            if let Some(body) = &mut seen.body {
                body.trailers.clone_from(&end.edits);
            }
        };
        self.goes_on(way, |hold| hold.end(way, trailers), add)
    }

    fn whole(&self, way: Way, bytes: &Bytes, trailers: &HeaderMap) -> Called<Judged> {
        let add = |seen: &mut Seen, judged: &Judged| {
            one_more(seen);
            if let Ok(decided) = &mut seen.decided {
                decided.verdict = judged.decision.verdict.clone();
                decided.edits.extend(&judged.decision.edits);
            }
        };
        self.goes_on(way, |hold| hold.whole(way, bytes, trailers), add)
    }

    fn unknown_upstream(&self, name: &str) -> Fault {
        let fault = self.hold.unknown_upstream(name);
        spoilt(&self.notes, &fault);
        fault
    }
}
