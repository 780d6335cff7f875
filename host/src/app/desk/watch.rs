//! A filter that is looked at while it decides.

use crate::chain::{Decision, Fault, Filter, Waiting};
use crate::message::{Exchange, RequestHead, ResponseHead};
use crate::sandbox::{Guest, Guests};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One decision.
pub struct Seen {
    /// The filter's number.
    pub filter: usize,
    pub phase: Phase,
    pub decided: Result<Decision, Fault>,
    /// Waiting included.
    pub took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Request,
    Response,
}

impl Phase {
    pub const fn export(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::Response => "on-response",
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
}

impl Watched {
    pub fn new(filter: usize, guests: Rc<Guests>, notes: &Notes) -> Self {
        Self { filter, guests, notes: Rc::clone(notes) }
    }

    fn note(&self, phase: Phase, begun: Instant, decided: Result<Decision, Fault>) -> Result<Decision, Fault> {
        self.notes.borrow_mut().push(Seen { filter: self.filter, phase, decided: decided.clone(), took: begun.elapsed() });
        decided
    }
}

impl Filter for Watched {
    type Held = Guest;

    fn phases(&self) -> (bool, bool) {
        self.guests.phases()
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead, held: &mut Option<Guest>) -> Result<Decision, Fault> {
        let begun = Instant::now();
        self.note(Phase::Request, begun, self.guests.on_request(exchange, head, held))
    }

    fn on_response(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        held: &mut Option<Guest>,
    ) -> Result<Decision, Fault> {
        let begun = Instant::now();
        self.note(Phase::Response, begun, self.guests.on_response(exchange, request, head, held))
    }

    fn waits(&self) -> bool {
        self.guests.waits()
    }

    fn on_request_waiting<'f>(&'f self, exchange: &'f Exchange, head: &'f RequestHead, held: &'f mut Option<Guest>) -> Waiting<'f> {
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
        held: &'f mut Option<Guest>,
    ) -> Waiting<'f> {
        Box::pin(async move {
            let begun = Instant::now();
            let decided = self.guests.on_response_waiting(exchange, request, head, held).await;
            self.note(Phase::Response, begun, decided)
        })
    }

    fn unknown_upstream(&self, name: &str) -> Fault {
        let fault = self.guests.unknown_upstream(name);
        // The decision was noted before it turned out to be impossible.
        if let Some(last) = self.notes.borrow_mut().last_mut() {
            last.decided = Err(fault.clone());
        }
        fault
    }
}
