//! What all guests of one link and worker answer for together: the breaker, and what is counted and told of their faults.

use super::breaker::{Breaker, Opened};
use super::configured::{Configured, Tally};
use super::fault::{Broken, On};
use crate::chain::{Cause, Fault};
use crate::config::FailPolicy;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Ward {
    pub(super) configured: Arc<Configured>,
    pub(super) tally: Arc<Tally>,
    breaker: RefCell<Breaker>,
    /// Of the fault that opened it.
    opened_by: Cell<Cause>,
}

impl Ward {
    pub(super) fn new(configured: Arc<Configured>, tally: Arc<Tally>) -> Self {
        let breaker = RefCell::new(Breaker::new(configured.breaker));
        Self { configured, tally, breaker, opened_by: Cell::new(Cause::Trap) }
    }

    /// Whether the breaker lets a call in.
    #[inline]
    pub(super) fn admitted(&self) -> Result<(), Broken> {
        if self.breaker.borrow().is_closed() { Ok(()) } else { self.ask() }
    }

    #[cold]
    fn ask(&self) -> Result<(), Broken> {
        let admitted = self.breaker.borrow_mut().admit(Instant::now());
        admitted.map(drop).map_err(|left| Broken::kept_out(left, self.opened_by.get()))
    }

    /// What came of a call.
    #[inline]
    pub(super) fn settle(&self, broken: Option<&Broken>) {
        match broken {
            None if self.breaker.borrow().is_closed() => {}
            None => self.recovered(),
            // Nobody was let in, or the pool was empty: not the plugin's doing, and it may have room the next moment.
            Some(broken) if broken.cause == Cause::Overload => {}
            Some(broken) => self.failed(broken.cause),
        }
    }

    #[cold]
    fn recovered(&self) {
        if self.breaker.borrow_mut().succeeded() {
            self.tally.closed();
            tracing::info!("link {} is entered again: its breaker is closed", self.configured.link());
        }
    }

    #[cold]
    pub(super) fn failed(&self, cause: Cause) {
        let Some(Opened { faults, pause }) = self.breaker.borrow_mut().failed(Instant::now(), self.tally.calls()) else { return };
        self.opened_by.set(cause);
        let then = self.configured.fail.on(cause);
        self.tally.opened(pause, then);
        let meanwhile = if then == FailPolicy::Open { "go on without it" } else { "end" };
        let (link, reason) = (self.configured.link(), cause.reason());
        tracing::warn!("link {link} is left out for {pause:?} after {faults} faults, the last a {reason}; meanwhile exchanges {meanwhile}");
    }

    #[cold]
    pub(super) fn fault(&self, broken: Broken) -> Fault {
        self.tally.faulted(broken.cause);
        self.configured.fault(broken)
    }
}
