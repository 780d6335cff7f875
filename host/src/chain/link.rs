//! A chain is a list of links; a link points to a filter that the worker holds.

use super::{Decision, Fault, GoingOut, Hold, Said, Stretch};
use crate::config::{LinkSpec, When};
use crate::message::{Again, Choice, Done, Exchange, FailedAttempt, RequestHead, ResponseHead};
use http::StatusCode;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

/// What a filter decides after it has waited.
pub type Waiting<'f> = Pin<Box<dyn Future<Output = Result<Decision, Fault>> + 'f>>;

/// The one trait of the house: something that decides about an exchange.
///
/// Calls are synchronous and must be short: they run on the worker that serves every other exchange of its core. A filter that may have to
/// wait for something outside says so, and is called in a way that lets the others go on, which costs more.
pub trait Filter: Sized {
    /// What a filter keeps for one exchange between its two phases (a fresh guest under `isolate = "request"`).
    type Held;

    /// What it has of an exchange whose bodies it looks at; [`super::NoHold`] if it never does.
    type Hold: Hold;

    /// What several know together; [`super::NoStretch`] if they never do.
    type Stretch: Stretch<Filter = Self>;

    /// Whether it looks at requests, and at responses, under its settings.
    fn phases(&self) -> (bool, bool);

    /// For a filter that looks at bodies under its settings: what is called in place of everything below.
    fn hold(&self, _: &Exchange) -> Option<Self::Hold> {
        None
    }

    /// Whether it can be part of a stretch: what it decides is a function of what it sees, and it takes part in no other phases.
    fn stretches(&self) -> bool {
        false
    }

    /// Decides about a request.
    fn on_request(&self, exchange: &Exchange, head: &RequestHead, held: &mut Option<Self::Held>) -> Result<Decision, Fault>;

    /// Decides about a response. `request` is the request's head as the last link left it.
    fn on_response(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        held: &mut Option<Self::Held>,
    ) -> Result<Decision, Fault>;

    /// Whether it may have to wait: then the following two are called instead.
    fn waits(&self) -> bool {
        false
    }

    /// As [`Self::on_request`].
    fn on_request_waiting<'f>(&'f self, exchange: &'f Exchange, head: &'f RequestHead, held: &'f mut Option<Self::Held>) -> Waiting<'f> {
        Box::pin(ready(self.on_request(exchange, head, held)))
    }

    /// As [`Self::on_response`].
    fn on_response_waiting<'f>(
        &'f self,
        exchange: &'f Exchange,
        request: &'f RequestHead,
        head: &'f ResponseHead,
        held: &'f mut Option<Self::Held>,
    ) -> Waiting<'f> {
        Box::pin(ready(self.on_response(exchange, request, head, held)))
    }

    /// The fault for a decision that is well formed and that nobody can carry out; ends the guest like any other.
    fn impossible(&self, why: &str) -> Fault;

    /// In which phases on the way to an upstream, and after the exchange, it takes part under its settings.
    fn going_out(&self) -> GoingOut {
        GoingOut::default()
    }

    /// The place of the server that gets the request; `None`: others may choose.
    fn on_balance(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        choice: &Choice<'_>,
        held: &mut Option<Self::Held>,
    ) -> Result<Said<Option<usize>>, Fault> {
        let _ = (exchange, request, choice, held);
        Ok(Said::only(None))
    }

    /// Whether a response of this status counts for it as a failed attempt.
    fn judges(&self, status: StatusCode) -> bool {
        let _ = status;
        false
    }

    /// What is to follow a failed attempt.
    fn on_attempt(
        &self,
        exchange: &Exchange,
        request: &RequestHead,
        failed: &FailedAttempt<'_>,
        held: &mut Option<Self::Held>,
    ) -> Result<Said<Again>, Fault> {
        let _ = (exchange, request, failed, held);
        Ok(Said::only(Again::AsConfigured))
    }

    /// The exchange is over.
    fn on_done(&self, exchange: &Exchange, request: &RequestHead, done: &Done<'_>, held: &mut Option<Self::Held>) -> Result<(), Fault> {
        let _ = (exchange, request, done, held);
        Ok(())
    }
}

/// Ordered links, outer to inner. Shared by all workers; holds no filter, only its number.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    pub links: Box<[Link]>,
}

impl Chain {
    /// The filter of each link that every request enters.
    pub fn unconditional(&self) -> Box<[Option<usize>]> {
        self.links.iter().map(|link| link.when.is_none().then_some(link.filter)).collect()
    }
}

/// One place in a chain.
#[derive(Debug, Clone)]
pub struct Link {
    /// Index into the worker's filters. Links of equal plugin and settings share one.
    pub filter: usize,
    pub when: Option<Arc<When>>,
    /// As written: name, origin, file:line, settings. For the log and `explain`.
    pub spec: Arc<LinkSpec>,
}
