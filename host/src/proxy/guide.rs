//! The links' say on the way to an upstream: what `upstream` asks of its guide, the walk answers.

use super::exchange::Ledger;
use crate::chain::{Cause, Filter, Walk};
use crate::message::{Again, Choice, Exchange, ExchangeId, FailedAttempt, RequestHead};
use crate::upstream::{Halted, Judged, SendError};
use http::StatusCode;
use std::cell::{Cell, RefCell};

/// Lives while a request is sent.
pub(super) struct Guide<'a, 'c, F: Filter> {
    id: ExchangeId,
    ledger: &'a Ledger,
    /// Nobody else looks at these meanwhile.
    walk: RefCell<&'a mut Walk<'c, F>>,
    exchange: RefCell<&'a mut Exchange>,
    request: &'a RequestHead,
    chooses: bool,
    /// Why it wanted the request to end.
    halted: Cell<Option<Cause>>,
}

impl<'a, 'c, F: Filter> Guide<'a, 'c, F> {
    pub fn new(
        (id, ledger): (ExchangeId, &'a Ledger),
        walk: &'a mut Walk<'c, F>,
        exchange: &'a mut Exchange,
        request: &'a RequestHead,
        chooses: bool,
    ) -> Self {
        let (walk, exchange) = (RefCell::new(walk), RefCell::new(exchange));
        Self { id, ledger, walk, exchange, request, chooses, halted: Cell::new(None) }
    }

    pub fn halted(&self) -> Option<Cause> {
        self.halted.get()
    }

    fn halt(&self, cause: Cause) -> Halted {
        self.halted.set(Some(cause));
        Halted
    }
}

impl<F: Filter> crate::upstream::Guide for Guide<'_, '_, F> {
    fn chooses(&self) -> bool {
        self.chooses
    }

    fn choose(&self, choice: &Choice<'_>) -> Result<Option<usize>, Halted> {
        let mut exchange = self.exchange.borrow_mut();
        let fault = |link: &_, fault: &_| self.ledger.fault(self.id, link, fault);
        let chosen = self.walk.borrow_mut().on_balance(&mut exchange, self.request, choice, fault);
        chosen.map_err(|fault| self.halt(fault.cause))
    }

    fn judges(&self, status: Option<StatusCode>) -> bool {
        self.walk.borrow().judges(status)
    }

    fn judge(&self, attempt: &Judged<'_>) -> Result<Again, Halted> {
        let failed = FailedAttempt {
            server: attempt.server,
            attempt: attempt.attempt,
            reason: attempt.brought.map_or_else(SendError::reason, |_| "status"),
            status: attempt.brought.ok(),
            sent: attempt.sent,
            left: attempt.left,
            candidates: attempt.candidates,
        };
        let mut exchange = self.exchange.borrow_mut();
        let fault = |link: &_, fault: &_| self.ledger.fault(self.id, link, fault);
        let wanted = self.walk.borrow_mut().on_attempt(&mut exchange, self.request, &failed, fault);
        wanted.map_err(|fault| self.halt(fault.cause))
    }
}
