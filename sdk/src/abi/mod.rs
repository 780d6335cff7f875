//! The one place with `unsafe`: how calls of the proxy reach a plugin, and how answers go back.
//!
//! Written by hand for speed: a call needs no allocation of the plugin's, arguments are borrowed where the proxy put them, and the
//! result is read from the arena after the function has returned (376–430 ns a call where generated bindings take 577).
//! Not public API: `#[plugin]` and the test harness use it.
#![allow(unsafe_code, reason = "memory shared with the proxy is reached by address; each use says why it is sound")]
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "the mock of the native target needs one half of it"))]

mod arena;
#[cfg(target_family = "wasm")]
pub mod exports;
#[cfg(target_family = "wasm")]
mod given;
#[cfg(target_family = "wasm")]
pub(crate) mod imports;
pub(crate) mod lower;
#[cfg(target_family = "wasm")]
pub mod metadata;
mod raw;
#[cfg(all(target_family = "wasm", feature = "bare"))]
mod runtime;

pub use arena::{Arena, List};
pub use raw::{
    Field, Numbers, RawAcceptDecision, RawAttemptDecision, RawBalanceDecision, RawBodyDecision, RawBodyEnd, RawBodyOutput, RawBodyPlan,
    RawBodyStart, RawCandidate, RawConfigured, RawConnectionPlan, RawDecision, RawEdit, RawHelloDecision, RawRequestBegin, RawUpstreamPlan,
    Str, Strings, Text,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use raw::{RawAttemptVerdict, RawBalanceVerdict, RawReply, RawVerdict};
