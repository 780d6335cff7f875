//! What went wrong in a guest, from wasmtime's errors to the causes that the failure policy knows.

use super::lift::BadOutput;
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
}

impl Broken {
    pub(super) fn bad_output(detail: impl Into<String>) -> Self {
        Self { cause: Cause::BadOutput, detail: detail.into() }
    }

    /// `refused`: the guest was denied memory or table entries since the call began, which is then what the trap comes from.
    pub(super) fn from_error(error: &wasmtime::Error, refused: Option<&'static str>) -> Self {
        let cause = cause(error, refused.is_some());
        let detail = match (cause, refused) {
            (Cause::Memory, Some(what)) => format!("no more {what} within the limit: {error:#}"),
            _ => format!("{error:#}"),
        };
        Self { cause, detail }
    }

    pub(super) fn into_fault(self, policy: &FailurePolicy) -> Fault {
        let then = match self.cause {
            Cause::Trap | Cause::Memory | Cause::BadOutput => policy.trap,
            Cause::Timeout => policy.timeout,
            Cause::Overload => policy.overload,
        };
        Fault { cause: self.cause, detail: self.detail, open: then == FailPolicy::Open }
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
