//! From the SDK's types to the contract's, in an arena. Safe code only; the shapes are in `raw`.

use super::arena::{Arena, List};
use super::raw::{Field, Maybe, RawConfigured, RawDecision, RawEdit, RawInterest, RawPlan, RawProblem, RawReply, RawVerdict, Slice, Str};
use crate::plan::{Asked, Plan};
use crate::problem::Problem;
use crate::verdict::{Reply, Verdict};
use alloc::borrow::Cow;

/// A decision; it points into `verdict`, which the caller keeps until the proxy has read it.
#[inline]
pub(crate) fn decision<'c>(arena: &'c Arena, verdict: &'c Verdict, edits: Slice<'c, RawEdit<'c>>) -> RawDecision<'c> {
    let verdict = match verdict {
        Verdict::Next => RawVerdict::Next,
        Verdict::Forward(upstream) => RawVerdict::Forward(Str::of(upstream.as_bytes())),
        Verdict::Reply(answer) => RawVerdict::Reply(reply(arena, answer)),
        Verdict::Abort => RawVerdict::Abort,
    };
    RawDecision { verdict, edits }
}

fn reply<'c>(arena: &'c Arena, reply: &'c Reply) -> RawReply<'c> {
    let mut headers = List::new();
    for (name, value) in &reply.headers {
        headers.push(arena, Field { name: Str::of(name.as_bytes()), value: Str::of(value) });
    }
    RawReply { status: reply.status, headers: headers.finish(), body: Str::of(&reply.body) }
}

/// Everything in it is a copy in the arena, so that the plan need not be kept.
pub(crate) fn configured<'c>(arena: &'c Arena, outcome: Result<Plan, alloc::vec::Vec<Problem>>) -> RawConfigured<'c> {
    match outcome {
        Ok(plan) => RawConfigured::Ok(RawPlan {
            request: maybe(plan.request.map(|request| interest(arena, request.flags(), &request.asked))),
            response: maybe(plan.response.map(|response| interest(arena, u8::from(response.asked.exchange), &response.asked))),
            warnings: problems(arena, &plan.warnings),
        }),
        Err(found) => RawConfigured::Err(problems(arena, &found)),
    }
}

fn maybe<T>(value: Option<T>) -> Maybe<T> {
    value.map_or(Maybe::None, Maybe::Some)
}

fn interest<'c>(arena: &'c Arena, first: u8, asked: &Asked) -> RawInterest<'c> {
    let (headers, attributes) = (names(arena, &asked.headers), names(arena, &asked.attributes));
    RawInterest { first, headers, all_headers: asked.all_headers, attributes }
}

fn names<'c>(arena: &'c Arena, names: &[Cow<'static, str>]) -> Slice<'c, Str<'c>> {
    let mut list = List::new();
    for name in names {
        list.push(arena, arena.text(name));
    }
    list.finish()
}

fn problems<'c>(arena: &'c Arena, problems: &[Problem]) -> Slice<'c, RawProblem<'c>> {
    let mut list = List::new();
    for problem in problems {
        list.push(arena, RawProblem { path: arena.text(&problem.path), message: arena.text(&problem.message) });
    }
    list.finish()
}
