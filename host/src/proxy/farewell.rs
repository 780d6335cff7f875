//! Links that are told of an exchange's end, whatever way it ends: what must be kept for them until then.

use super::exchange::Ledger;
use crate::chain::{Attendance, Audience, Filter};
use crate::message::{Connection, Done, Exchange, RequestHead};
use std::rc::Rc;

/// Held by the guard of an exchange whose chain has such links.
pub(super) struct Farewell<F: Filter> {
    /// Not all that is current: bodies may last long, and a generation that is replaced is to be gone by then.
    pub audience: Rc<Audience<F>>,
    pub attendance: Rc<Attendance<F::Held>>,
    /// As links know it; brought up to date when a walk is over.
    pub exchange: Exchange,
    pub request: RequestHead,
}

/// The same, whatever runs in links.
pub(super) trait Tell {
    fn connection(&self) -> &Rc<Connection>;

    /// What links set meanwhile.
    fn update(&mut self, exchange: &Exchange);

    fn tell(&self, done: &Done<'_>, ledger: &Ledger);
}

impl<F: Filter> Tell for Farewell<F> {
    fn connection(&self) -> &Rc<Connection> {
        &self.exchange.connection
    }

    fn update(&mut self, exchange: &Exchange) {
        self.exchange.attributes.clone_from(&exchange.attributes);
        self.exchange.upstream.clone_from(&exchange.upstream);
    }

    fn tell(&self, done: &Done<'_>, ledger: &Ledger) {
        let fault = |link: &_, fault: &_| ledger.fault(self.exchange.id, link, fault);
        self.attendance.tell(&self.audience, &self.exchange, &self.request, done, fault);
    }
}
