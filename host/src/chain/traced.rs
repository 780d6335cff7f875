//! What the trace of an exchange is told of calls of links. Where nothing is traced this is a look at a pointer.

use super::{Fault, Link};
use crate::message::Exchange;

/// The link is called; what its guest says from now on belongs to this call.
#[inline]
pub(super) fn begin(exchange: &mut Exchange, link: &Link, phase: &'static str) {
    if let Some(standing) = &mut exchange.trace {
        standing.begin(&link.spec.name, phase);
    }
}

/// It is over.
#[inline]
pub(super) fn end<T>(exchange: &Exchange, decided: &Result<T, Fault>) {
    if let Some(standing) = &exchange.trace {
        standing.end(decided.as_ref().err().map(|fault| fault.cause.reason()));
    }
}
