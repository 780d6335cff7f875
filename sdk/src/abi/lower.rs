//! From the SDK's types to the contract's, in an arena. Safe code only; the shapes are in `raw`.

use super::arena::{Arena, List};
use super::raw::{
    Field, Maybe, RawAcceptDecision, RawAcceptVerdict, RawAttemptDecision, RawAttemptVerdict, RawBalanceDecision, RawBalanceVerdict,
    RawBetween, RawBodyPlan, RawConfigured, RawConnectionPlan, RawDecision, RawEdit, RawHelloDecision, RawHelloVerdict, RawInterest,
    RawPlan, RawProblem, RawReply, RawShown, RawUpstreamPlan, RawVerdict, Slice, Str,
};
use crate::connection::{AcceptVerdict, HelloVerdict};
use crate::plan::{Asked, Plan};
use crate::problem::Problem;
use crate::upstream::{AttemptVerdict, BalanceVerdict};
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

/// Everything in it is a copy in the arena: names of upstreams are rare.
pub(crate) fn accept_decision<'c>(arena: &'c Arena, verdict: &AcceptVerdict, attributes: Slice<'c, Field<'c>>) -> RawAcceptDecision<'c> {
    let verdict = match verdict {
        AcceptVerdict::Next => RawAcceptVerdict::Next,
        AcceptVerdict::Reset => RawAcceptVerdict::Reset,
        AcceptVerdict::Close => RawAcceptVerdict::Close,
        AcceptVerdict::Forward(upstream) => RawAcceptVerdict::Forward(arena.text(upstream)),
    };
    RawAcceptDecision { verdict, attributes }
}

/// As [`accept_decision`].
pub(crate) fn hello_decision<'c>(arena: &'c Arena, verdict: &HelloVerdict, attributes: Slice<'c, Field<'c>>) -> RawHelloDecision<'c> {
    let verdict = match verdict {
        HelloVerdict::Next => RawHelloVerdict::Next,
        HelloVerdict::Reset => RawHelloVerdict::Reset,
        HelloVerdict::Close => RawHelloVerdict::Close,
        HelloVerdict::Alert(number) => RawHelloVerdict::Alert(*number),
        HelloVerdict::Forward(upstream) => RawHelloVerdict::Forward(arena.text(upstream)),
        HelloVerdict::PassThrough(upstream) => RawHelloVerdict::PassThrough(arena.text(upstream)),
    };
    RawHelloDecision { verdict, attributes }
}

/// As [`configured`], of what the plan says about connections.
pub(crate) fn connection_plan<'c>(arena: &'c Arena, plan: &Plan) -> RawConnectionPlan<'c> {
    let shown = |fields, attributes: &[Cow<'static, str>]| Maybe::Some(RawShown { fields, attributes: names(arena, attributes) });
    RawConnectionPlan {
        accept: plan.accept.as_ref().map_or(Maybe::None, |accept| shown(accept.fields, &accept.attributes)),
        client_hello: plan.client_hello.as_ref().map_or(Maybe::None, |hello| shown(hello.fields, &hello.attributes)),
        close: plan.close.as_ref().map_or(Maybe::None, |close| shown(close.fields, &close.attributes)),
    }
}

/// As [`configured`], of what the plan says about bodies.
pub(crate) fn body_plan<'c>(arena: &'c Arena, plan: &Plan) -> RawBodyPlan<'c> {
    let (request, response) = (plan.request_body.as_ref(), plan.response_body.as_ref());
    RawBodyPlan {
        request: maybe(request.map(|request| interest(arena, request.flags(), &request.asked))),
        response: maybe(response.map(|response| interest(arena, u8::from(response.asked.exchange), &response.asked))),
    }
}

#[inline]
pub(crate) fn balance_decision<'c>(verdict: BalanceVerdict, attributes: Slice<'c, Field<'c>>) -> RawBalanceDecision<'c> {
    let verdict = match verdict {
        BalanceVerdict::Next => RawBalanceVerdict::Next,
        BalanceVerdict::Choose(place) => RawBalanceVerdict::Choose(place),
    };
    RawBalanceDecision { verdict, attributes }
}

pub(crate) fn attempt_decision<'c>(verdict: AttemptVerdict, attributes: Slice<'c, Field<'c>>) -> RawAttemptDecision<'c> {
    let verdict = match verdict {
        AttemptVerdict::Next => RawAttemptVerdict::Next,
        AttemptVerdict::Stop => RawAttemptVerdict::Stop,
        AttemptVerdict::Again => RawAttemptVerdict::Again,
        AttemptVerdict::AgainOn(place) => RawAttemptVerdict::AgainOn(place),
    };
    RawAttemptDecision { verdict, attributes }
}

/// As [`configured`], of what the plan says about upstreams.
pub(crate) fn upstream_plan<'c>(arena: &'c Arena, plan: &Plan) -> RawUpstreamPlan<'c> {
    let numbers = |numbers: &[u16]| {
        let mut list = List::new();
        numbers.iter().for_each(|number| list.push(arena, *number));
        list.finish()
    };
    RawUpstreamPlan {
        balance: maybe(plan.balance.as_ref().map(|balance| RawBetween {
            fields: balance.flags(),
            list: names(arena, &balance.asked.headers),
            attributes: names(arena, &balance.asked.attributes),
        })),
        attempt: maybe(plan.attempt.as_ref().map(|attempt| RawBetween {
            fields: attempt.fields,
            list: numbers(&attempt.statuses),
            attributes: names(arena, &attempt.attributes),
        })),
        done: maybe(plan.done.as_ref().map(|done| RawShown { fields: done.fields, attributes: names(arena, &done.attributes) })),
        tick: maybe(plan.tick.map(|every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX))),
    }
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
