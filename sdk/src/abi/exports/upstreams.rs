//! The phases on the way to upstreams, and after it.

use super::calls::CALLS;
use super::{Held, list};
use crate::abi::lower;
use crate::abi::raw::{Field, RawAttemptDecision, RawBalanceDecision, RawCandidate, RawUpstreamPlan, Slice, Str};
use crate::connection::Attributes;
use crate::head::Fields;
use crate::plan::Plan;
use crate::plugin::{OnAttempt, OnBalance, OnDone, OnTick, Plugin};
use crate::upstream::{Candidates, Choice, Done, FailedAttempt, Tick, UpstreamEdits};
use core::marker::PhantomData;

impl<P: Plugin> Held<P> {
    pub fn plan_upstreams(&'static self) -> *const RawUpstreamPlan<'static> {
        CALLS.enter(|arena| {
            let mut plan = Plan::default();
            self.plugin().plan(&mut plan);
            arena.put(lower::upstream_plan(arena, &plan))
        })
    }
}

/// `list<candidate>` as the proxy passes it.
///
/// # Safety
/// The pair is a list that the proxy lowered for this call.
#[inline]
unsafe fn candidates((start, len): (*const RawCandidate<'static>, usize)) -> Candidates<'static> {
    // SAFETY: the caller's promise; see `list` for the lifetime.
    Candidates { list: unsafe { Slice::new(start, len) }.items() }
}

/// The flat arguments of `on-balance`, in order.
#[derive(Clone, Copy)]
pub struct BalanceArguments {
    pub exchange: u64,
    pub upstream: (*const u8, usize),
    pub failed: u32,
    pub method: (*const u8, usize),
    pub path: (*const u8, usize),
    pub headers: (*const Field<'static>, usize),
    pub attributes: (*const Field<'static>, usize),
    pub candidates: (*const RawCandidate<'static>, usize),
}

impl<P: OnBalance> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_balance(&'static self, given: BalanceArguments) -> *const RawBalanceDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let choice = unsafe {
                let text = |(start, len)| Str::new(start, len).text();
                Choice {
                    exchange: given.exchange,
                    upstream: text(given.upstream),
                    failed: given.failed,
                    method: text(given.method),
                    path: text(given.path),
                    candidates: candidates(given.candidates),
                    fields: Fields {
                        headers: list(given.headers.0, given.headers.1),
                        attributes: list(given.attributes.0, given.attributes.1),
                    },
                }
            };
            let mut edits = UpstreamEdits::new(arena);
            let verdict = self.plugin().on_balance(&choice, &mut edits);
            arena.put(lower::balance_decision(verdict, edits.list.finish()))
        })
    }
}

/// The flat arguments of `on-attempt`, in order. `status` is an option: 0 or 1, then the number.
#[derive(Clone, Copy)]
pub struct AttemptArguments {
    pub exchange: u64,
    pub server: (*const u8, usize),
    pub attempt: u32,
    pub reason: (*const u8, usize),
    pub status: (u32, u32),
    pub sent: u32,
    pub left: u32,
    pub attributes: (*const Field<'static>, usize),
    pub candidates: (*const RawCandidate<'static>, usize),
}

impl<P: OnAttempt> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_attempt(&'static self, given: AttemptArguments) -> *const RawAttemptDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let failed = unsafe {
                FailedAttempt {
                    exchange: given.exchange,
                    server: Str::new(given.server.0, given.server.1).text(),
                    attempt: given.attempt,
                    reason: Str::new(given.reason.0, given.reason.1).text(),
                    status: (given.status.0 != 0).then_some(given.status.1 as u16),
                    sent: given.sent != 0,
                    left: given.left,
                    attributes: Attributes { list: list(given.attributes.0, given.attributes.1) },
                    candidates: candidates(given.candidates),
                }
            };
            let mut edits = UpstreamEdits::new(arena);
            let verdict = self.plugin().on_attempt(&failed, &mut edits);
            arena.put(lower::attempt_decision(verdict, edits.list.finish()))
        })
    }
}

/// The flat arguments of `on-done`, in order. `status` is an option: 0 or 1, then the number.
#[derive(Clone, Copy)]
pub struct DoneArguments {
    pub exchange: u64,
    pub upstream: (*const u8, usize),
    pub server: (*const u8, usize),
    pub attempts: u32,
    pub status: (u32, u32),
    pub reason: (*const u8, usize),
    pub duration: u64,
    pub first_byte: u64,
    pub received: u64,
    pub sent: u64,
    pub attributes: (*const Field<'static>, usize),
}

impl<P: OnDone> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_done(&'static self, given: DoneArguments) {
        CALLS.enter(|_| {
            // SAFETY: as in `on_request`.
            let done = unsafe {
                let text = |(start, len)| Str::new(start, len).text();
                Done {
                    exchange: given.exchange,
                    upstream: text(given.upstream),
                    server: text(given.server),
                    attempts: given.attempts,
                    status: (given.status.0 != 0).then_some(given.status.1 as u16),
                    reason: text(given.reason),
                    duration: given.duration,
                    first_byte: given.first_byte,
                    received: given.received,
                    sent: given.sent,
                    attributes: Attributes { list: list(given.attributes.0, given.attributes.1) },
                }
            };
            self.plugin().on_done(&done);
            &()
        });
    }
}

impl<P: OnTick> Held<P> {
    pub fn on_tick(&'static self, number: u64, worker: u32, workers: u32) {
        CALLS.enter(|_| {
            self.plugin().on_tick(&Tick { number, worker, workers, call: PhantomData });
            &()
        });
    }
}
