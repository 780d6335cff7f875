//! Decisions remembered: a plugin that is a pure function of its settings and inputs need not be run to decide the same again.
//!
//! Of one link on one worker, for fresh guests (`isolate = "request"`) of plugins and settings that [`eligible`] lets through. A response's decision
//! may depend on what the guest saw of the request, since one guest serves both phases: so it is remembered for the request's decision and
//! its own inputs together, and a guest that was not made for the request is shown the same request before it sees the response.
//! Faults are not remembered, nor is what a secret could be read from. What links one after the other decided is remembered together too (`stretch`).

mod eligible;
mod shelf;
mod stretch;

pub use eligible::Forgets;
pub(super) use eligible::{eligible, impurity};
pub use stretch::GuestStretch;

use super::configured::Tally;
use super::inputs::{Lines, RequestInputs, ResponseInputs};
use crate::chain::{Decision, Edit, Verdict};
use http::HeaderName;
use shelf::Shelf;
use std::rc::Rc;
use std::sync::Arc;

/// A decision and the inputs that it was made of.
pub struct Known<D = Decision> {
    /// No other has it, ever, on this link and worker.
    serial: u64,
    inputs: Box<[u8]>,
    pub(super) decision: D,
}

impl Known {
    /// The inputs, to be shown again.
    pub(super) fn request<'l: 'a, 'a>(&'l self, lines: &'a mut Lines<'l>) -> Option<RequestInputs<'a>> {
        RequestInputs::read(&self.inputs, lines)
    }
}

/// What one link remembers on one worker.
pub(super) struct Memory {
    requests: Shelf<Decision>,
    responses: Shelf<Decision>,
    /// Of the last question.
    inputs: Vec<u8>,
    last: u64,
    /// Where it says how much there is.
    tally: Arc<Tally>,
}

impl Memory {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { requests: Shelf::default(), responses: Shelf::default(), inputs: Vec::new(), last: 0, tally }
    }

    /// What was decided about such a request.
    #[inline]
    pub(super) fn request(&mut self, inputs: &RequestInputs<'_>) -> Option<Rc<Known>> {
        self.inputs.clear();
        inputs.write(&mut self.inputs);
        self.requests.find(&self.inputs)
    }

    /// What was decided about such a response to a request about which `asked` was decided; `None`: the plugin does not see requests.
    #[inline]
    pub(super) fn response(&mut self, asked: Option<&Known>, inputs: &ResponseInputs<'_>) -> Option<Rc<Known>> {
        self.inputs.clear();
        self.inputs.extend_from_slice(&asked.map_or(0, |asked| asked.serial).to_le_bytes());
        inputs.write(&mut self.inputs);
        self.responses.find(&self.inputs)
    }

    /// Remembers the answer to the last question, which was about a request.
    pub(super) fn keep_request(&mut self, decision: &Decision) -> Option<Rc<Known>> {
        let known = self.known(decision)?;
        self.requests.keep(Rc::clone(&known), cost(&known));
        self.count();
        Some(known)
    }

    /// The same about a response.
    pub(super) fn keep_response(&mut self, decision: &Decision) {
        if let Some(known) = self.known(decision) {
            let cost = cost(&known);
            self.responses.keep(known, cost);
            self.count();
        }
    }

    fn known(&mut self, decision: &Decision) -> Option<Rc<Known>> {
        if !may_be_kept(decision) {
            return None;
        }
        self.last += 1;
        let decision = Decision { verdict: decision.verdict.clone(), edits: decision.edits.shared() };
        Some(Rc::new(Known { serial: self.last, inputs: self.inputs.as_slice().into(), decision }))
    }

    pub(super) fn forget(&mut self) {
        (self.requests, self.responses) = (Shelf::default(), Shelf::default());
        self.count();
    }

    fn count(&self) {
        self.tally.remembers(self.requests.len() + self.responses.len(), self.requests.bytes() + self.responses.bytes());
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.tally.remembers(0, 0);
    }
}

/// Whether nothing in it is somebody's credential.
fn may_be_kept(decision: &Decision) -> bool {
    let open = |name: &HeaderName| !eligible::is_credential(name);
    let edits = decision.edits.iter().all(|edit| match edit {
        Edit::SetHeader(name, _) | Edit::AppendHeader(name, _) => open(name),
        _ => true,
    });
    edits && !matches!(&decision.verdict, Verdict::Reply(reply) if !reply.headers.keys().all(open))
}

/// Of an entry, an edit or a header line, beside its text. An estimate.
const EACH: usize = 96;

/// Bytes of memory, about: what is written out and what keeps it.
fn cost(known: &Known) -> usize {
    let edits = known.decision.edits.iter().map(|edit| EACH + length(edit)).sum::<usize>();
    let verdict = match &known.decision.verdict {
        Verdict::Next | Verdict::Abort => 0,
        Verdict::Forward(name) => name.len(),
        Verdict::Reply(reply) => {
            reply.body.len() + reply.headers.iter().map(|(name, value)| EACH + name.as_str().len() + value.len()).sum::<usize>()
        }
    };
    EACH + known.inputs.len() + edits + verdict
}

fn length(edit: &Edit) -> usize {
    match edit {
        Edit::SetHeader(name, value) | Edit::AppendHeader(name, value) => name.as_str().len() + value.len(),
        Edit::RemoveHeader(name) => name.as_str().len(),
        Edit::SetMethod(method) => method.as_str().len(),
        Edit::SetAuthority(text) | Edit::SetPath(text) => text.len(),
        Edit::SetQuery(text) => text.as_ref().map_or(0, |text| text.len()),
        Edit::SetAttribute(name, value) => name.len() + value.len(),
    }
}
