//! Calls on the way to upstreams and after it, and ticks.

use super::Scene;
use crate::app::desk::going_out::{SERVER, attempt, candidates, choice, done};
use crate::chain::{Fault, Filter};
use crate::config::cases::{MadeAttempt, MadeChoice, MadeDone};
use crate::message::{Done, Exchange, Tick};
use crate::sandbox::Guests;
use http::StatusCode;
use std::time::Duration;

/// The same exchange again and again.
pub(super) struct Ways<'w> {
    guests: &'w Guests,
    exchange: Exchange,
    scene: &'w Scene,
}

impl<'w> Ways<'w> {
    pub fn new(guests: &'w Guests, exchange: &Exchange, scene: &'w Scene) -> Self {
        Self { guests, exchange: Exchange { upstream: Some("app".into()), ..exchange.clone() }, scene }
    }

    /// What is to be chosen of, if the plugin chooses.
    pub fn choice(&self) -> Option<&'w MadeChoice> {
        self.scene.going_out.balance.as_ref().map(|asked| &asked.made).filter(|_| self.guests.going_out().balance)
    }

    /// The attempt that is judged, if the plugin judges such.
    pub fn attempt(&self) -> Option<&'w MadeAttempt> {
        let made = self.scene.going_out.attempt.as_ref().map(|asked| &asked.made)?;
        let status = attempt(made, SERVER, &[]).status;
        (self.guests.going_out().attempt && status.is_none_or(|status| self.guests.judges(status))).then_some(made)
    }

    /// The end that is told, if the plugin wants to be told.
    pub fn end(&self) -> Option<&'w MadeDone> {
        self.scene.going_out.done.as_ref().map(|asked| &asked.made).filter(|_| self.guests.going_out().done)
    }

    /// CPU time of so many.
    pub fn choices(&self, made: &MadeChoice, count: usize) -> Result<Duration, Fault> {
        let candidates = candidates(&made.servers);
        let choice = choice(made, "app", &candidates);
        timed(count, || self.guests.on_balance(&self.exchange, &self.scene.request, &choice, &mut None).map(drop))
    }

    pub fn attempts(&self, made: &MadeAttempt, count: usize) -> Result<Duration, Fault> {
        let first = made.servers.first().map_or(SERVER, |server| &server.address);
        let server = made.server.as_deref().unwrap_or(first);
        let mut candidates = candidates(&made.servers);
        candidates.retain(|candidate| candidate.address != server);
        let failed = attempt(made, server, &candidates);
        timed(count, || self.guests.on_attempt(&self.exchange, &self.scene.request, &failed, &mut None).map(drop))
    }

    pub fn ends(&self, made: &MadeDone, count: usize) -> Result<Duration, Fault> {
        let went = Done {
            upstream: self.exchange.upstream.as_deref(),
            server: Some(SERVER),
            attempts: 1,
            status: Some(StatusCode::OK),
            reason: None,
            duration: Duration::ZERO,
            first_byte: None,
            received: 0,
            sent: 0,
        };
        let done = done(made, went);
        timed(count, || self.guests.on_done(&self.exchange, &self.scene.request, &done, &mut None))
    }

    /// One call of whichever phase there is. A fault has been told as a row.
    pub fn once(&self) {
        let called = self.choice().map(|made| self.choices(made, 1));
        let called = called.or_else(|| self.attempt().map(|made| self.attempts(made, 1)));
        let _ = called.or_else(|| self.end().map(|made| self.ends(made, 1)));
    }
}

pub(super) async fn ticks(guests: &Guests, tick: Tick, count: usize) -> Result<Duration, Fault> {
    let begun = crate::sandbox::thread_cpu_time();
    for number in 0..count {
        guests.tick(Tick { number: number as u64, ..tick }).await?;
    }
    Ok(crate::sandbox::thread_cpu_time().saturating_sub(begun))
}

fn timed(count: usize, mut call: impl FnMut() -> Result<(), Fault>) -> Result<Duration, Fault> {
    let begun = crate::sandbox::thread_cpu_time();
    for _ in 0..count {
        call()?;
    }
    Ok(crate::sandbox::thread_cpu_time().saturating_sub(begun))
}
