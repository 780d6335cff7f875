//! The phases on the way to upstreams and after it, as calls of a guest.

use super::super::fault::Broken;
use super::super::guest::{Guest, begin, broken, planned};
use super::plan::{AttemptInterest, BalanceInterest, DoneInterest};
use super::{ALL, attempt_decision, balance_decision, candidates, headers, look_up, micros, shown, types};
use crate::chain::Said;
use crate::message::{Again, Choice, Done, Exchange, FailedAttempt, RequestHead, Tick};

impl Guest {
    pub(in super::super) fn on_balance(
        &mut self,
        exchange: &Exchange,
        request: &RequestHead,
        choice: &Choice<'_>,
        interest: &BalanceInterest,
    ) -> Result<Said<Option<usize>>, Broken> {
        let live = &mut *self.0;
        let func = planned(live.going_out.balance, "on-balance")?;
        live.enter(exchange);
        let id = if interest.exchange { exchange.id.0 } else { 0 };
        let found = look_up(exchange, request, &interest.attributes);
        let given = types::Choice {
            upstream: if interest.upstream { choice.upstream } else { "" },
            failed: choice.failed,
            method: if interest.method { request.method.as_str() } else { "" },
            path: if interest.path { &request.path } else { "" },
            headers: &headers(&request.headers, &interest.headers),
            attributes: &shown(&found),
            candidates: &candidates(choice.candidates, interest.servers),
        };
        match func.call(&mut live.store, (id, given)) {
            Ok((decision,)) => balance_decision(decision).map_err(|wrong| Broken::bad_output(wrong.to_string())),
            Err(error) => Err(broken(&mut live.store, &error).during("on-balance")),
        }
    }

    pub(in super::super) fn on_attempt(
        &mut self,
        exchange: &Exchange,
        request: &RequestHead,
        failed: &FailedAttempt<'_>,
        interest: &AttemptInterest,
    ) -> Result<Said<Again>, Broken> {
        let live = &mut *self.0;
        let func = planned(live.going_out.attempt, "on-attempt")?;
        live.enter(exchange);
        let id = if interest.exchange { exchange.id.0 } else { 0 };
        let found = look_up(exchange, request, &interest.attributes);
        let given = types::FailedAttempt {
            server: if interest.server { failed.server } else { "" },
            attempt: failed.attempt,
            reason: if interest.reason { failed.reason } else { "" },
            status: failed.status.map(|status| status.as_u16()),
            sent: failed.sent,
            left: failed.left,
            attributes: &shown(&found),
            candidates: &candidates(if interest.candidates { failed.candidates } else { &[] }, ALL),
        };
        match func.call(&mut live.store, (id, given)) {
            Ok((decision,)) => attempt_decision(decision).map_err(|wrong| Broken::bad_output(wrong.to_string())),
            Err(error) => Err(broken(&mut live.store, &error).during("on-attempt")),
        }
    }

    pub(in super::super) fn on_done(
        &mut self,
        exchange: &Exchange,
        request: &RequestHead,
        done: &Done<'_>,
        interest: &DoneInterest,
    ) -> Result<(), Broken> {
        let live = &mut *self.0;
        let func = planned(live.going_out.done, "on-done")?;
        live.enter(exchange);
        let id = if interest.exchange { exchange.id.0 } else { 0 };
        let found = look_up(exchange, request, &interest.attributes);
        let asked = |asked: bool, text: Option<&str>| text.filter(|_| asked).map(str::to_owned).unwrap_or_default();
        let (times, bytes) = (u64::from(interest.times), u64::from(interest.bytes));
        let given = types::Done {
            upstream: &asked(interest.upstream, done.upstream),
            server: &asked(interest.server, done.server),
            attempts: done.attempts,
            status: done.status.map(|status| status.as_u16()),
            reason: &asked(interest.reason, done.reason),
            duration: micros(done.duration) * times,
            first_byte: done.first_byte.map_or(0, micros) * times,
            received: done.received * bytes,
            sent: done.sent * bytes,
            attributes: &shown(&found),
        };
        func.call(&mut live.store, (id, given)).map_err(|error| broken(&mut live.store, &error).during("on-done"))
    }

    pub(in super::super) fn on_tick(&mut self, tick: Tick) -> Result<(), Broken> {
        let live = &mut *self.0;
        let func = planned(live.going_out.tick, "on-tick")?;
        live.giver.gives();
        begin(&mut live.store);
        func.call(&mut live.store, (given(tick),)).map_err(|error| broken(&mut live.store, &error).during("on-tick"))
    }

    /// As [`Self::on_tick`], for a guest that may wait.
    pub(in super::super) async fn on_tick_waiting(&mut self, tick: Tick) -> Result<(), Broken> {
        let live = &mut *self.0;
        let func = planned(live.going_out.tick, "on-tick")?;
        live.giver.gives();
        begin(&mut live.store);
        let called = live.giver.throughout(func.call_async(&mut live.store, (given(tick),))).await;
        called.map_err(|error| broken(&mut live.store, &error).during("on-tick"))
    }
}

const fn given(Tick { number, worker, workers }: Tick) -> types::Tick {
    types::Tick { number, worker, workers }
}
