//! What went wrong in a guest, from wasmtime's errors to the causes that the failure policy knows.

use super::lift::BadOutput;
use super::trace::Trace;
use crate::chain::{Cause, Fault};
use crate::config::{FailPolicy, FailurePolicy};
use std::time::Duration;
use wasmtime::{PoolConcurrencyLimitError, Trap};

/// Why the host ended a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("more than {0:?} of CPU time")]
    OutOfTime(Duration),
    #[error("the guest exited with {0}")]
    Exit(u8),
    /// `thread::sleep`, or a poll that nothing could end.
    #[error("the guest wanted to wait, which would hold up every other exchange of its worker")]
    Wait,
    #[error("too much {0} in one host call")]
    TooMuch(&'static str),
    #[error("too many {0} at once")]
    TooMany(&'static str),
    #[error("there are no files here")]
    NoFiles,
    #[error("`{0}` is not granted")]
    NotGranted(&'static str),
    #[error("the contract wants {0}")]
    Contract(&'static str),
    #[error("a metric: {0}")]
    Metric(String),
}

/// A fault without its policy: what the guest did.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) cause: Cause,
    pub(super) detail: String,
    /// In which phase; empty: in none.
    phase: &'static str,
    /// `None`: no guest ran.
    trace: Option<Box<Trace>>,
    /// The breaker is open since a fault of this cause, whose policy holds.
    since: Option<Cause>,
}

impl Broken {
    pub(super) fn new(cause: Cause, detail: String) -> Self {
        Self { cause, detail, phase: "", trace: None, since: None }
    }

    pub(super) fn bad_output(detail: impl Into<String>) -> Self {
        Self::new(Cause::BadOutput, detail.into())
    }

    pub(super) fn timeout(detail: String) -> Self {
        Self::new(Cause::Timeout, detail)
    }

    /// Nobody is let in.
    pub(super) fn kept_out(left: Duration, since: Cause) -> Self {
        let detail = format!("it is left out for {left:.1?} more after too many faults ({})", since.reason());
        Self { since: Some(since), ..Self::new(Cause::Overload, detail) }
    }

    /// `refused`: the guest was denied memory or table entries since the call began, which is then what the trap comes from. `last`: what
    /// the guest said last.
    pub(super) fn from_error(error: &wasmtime::Error, refused: Option<&'static str>, last: Vec<String>) -> Self {
        let cause = cause(error, refused.is_some());
        // Without the backtrace, which is a context of the error.
        let told = error.chain().map(ToString::to_string).filter(|told| !told.starts_with("error while executing at wasm backtrace"));
        let why = told.collect::<Vec<_>>().join(": ");
        let detail = match (cause, refused) {
            (Cause::Memory, Some(what)) => format!("no more {what} within the limit: {why}"),
            _ => why,
        };
        Self { trace: Some(Box::new(Trace::of(error, last))), ..Self::new(cause, detail) }
    }

    pub(super) fn during(self, phase: &'static str) -> Self {
        Self { phase, ..self }
    }

    /// In a module that had `by` bytes more before its code than its author's has.
    pub(super) fn moved_back(mut self, by: usize) -> Self {
        self.trace.iter_mut().for_each(|trace| trace.moved_back(by));
        self
    }

    /// `report`: whether more is told than what it was.
    pub(super) fn into_fault(self, policy: &FailurePolicy, report: impl FnOnce(&Trace) -> Option<String>) -> Fault {
        let then = policy.on(self.since.unwrap_or(self.cause));
        let detail = if self.phase.is_empty() { self.detail } else { format!("{}: {}", self.phase, self.detail) };
        let report = self.trace.and_then(|trace| report(&trace)).unwrap_or_default();
        Fault { cause: self.cause, detail, report, open: then == FailPolicy::Open }
    }
}

/// The policy of a cause.
pub(super) trait On {
    fn on(&self, cause: Cause) -> FailPolicy;
}

impl On for FailurePolicy {
    fn on(&self, cause: Cause) -> FailPolicy {
        match cause {
            Cause::Trap => self.trap,
            Cause::Memory => self.memory,
            Cause::BadOutput => self.bad_output,
            Cause::Timeout => self.timeout,
            Cause::Overload => self.overload,
        }
    }
}

fn cause(error: &wasmtime::Error, refused: bool) -> Cause {
    if error.is::<BadOutput>() {
        return Cause::BadOutput;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Cause::Overload;
    }
    match error.downcast_ref::<Stop>() {
        Some(Stop::OutOfTime(_)) => return Cause::Timeout,
        Some(_) => return Cause::Trap,
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Cause::Timeout,
        Some(Trap::AllocationTooLarge) => Cause::Memory,
        _ if refused => Cause::Memory,
        Some(_) => Cause::Trap,
        // What is left comes from the canonical ABI: pointers that are misaligned or out of bounds, on either way.
        None => Cause::BadOutput,
    }
}
