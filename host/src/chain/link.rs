//! A chain is a list of links; a link points to a filter that the worker holds.

use super::{Decision, Fault};
use crate::config::{LinkSpec, When};
use crate::message::{Exchange, RequestHead, ResponseHead};
use std::sync::Arc;

/// The one trait of the house: something that decides about an exchange.
///
/// Calls are synchronous and must be short: they run on the worker that serves every other exchange of its core.
pub trait Filter {
    /// What a filter keeps for one exchange between its two phases (a fresh guest under `isolate = "request"`).
    type Held;

    /// Whether it looks at requests, and at responses, under its settings.
    fn phases(&self) -> (bool, bool);

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

    /// The fault for a decision that names an upstream which does not exist; ends the guest like any other.
    fn unknown_upstream(&self, name: &str) -> Fault;
}

/// Ordered links, outer to inner. Shared by all workers; holds no filter, only its number.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    pub links: Box<[Link]>,
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
