//! What a plugin does on the way to upstreams under its settings, checked once.

use super::super::fields::is_hidden;
use super::super::lift::BadOutput;
use super::super::plan::{MOST_NAMES, each_once};
use super::types;
use crate::chain::GoingOut;
use http::HeaderName;
use std::time::Duration;

/// What `plan-upstreams` returned (`wit/types.wit`, `upstream-plan`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamPlan {
    /// `None`: not called under these settings.
    pub balance: Option<BalanceInterest>,
    pub attempt: Option<AttemptInterest>,
    pub done: Option<DoneInterest>,
    /// Between two ticks.
    pub tick: Option<Duration>,
}

/// What `on-balance` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BalanceInterest {
    pub upstream: bool,
    pub method: bool,
    pub path: bool,
    pub servers: ServerInterest,
    pub exchange: bool,
    /// Each once.
    pub headers: Vec<HeaderName>,
    pub attributes: Vec<String>,
}

/// What is to be seen of each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerInterest {
    pub address: bool,
    pub weight: bool,
    pub tags: bool,
    pub load: bool,
}

/// What `on-attempt` wants to see, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptInterest {
    pub server: bool,
    pub reason: bool,
    pub candidates: bool,
    pub exchange: bool,
    /// Each once.
    pub statuses: Vec<u16>,
    pub attributes: Vec<String>,
}

/// What `on-done` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DoneInterest {
    pub upstream: bool,
    pub server: bool,
    pub reason: bool,
    pub times: bool,
    pub bytes: bool,
    pub exchange: bool,
    pub attributes: Vec<String>,
}

/// Which phases a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpstreamPhases {
    pub balance: bool,
    pub attempt: bool,
    pub done: bool,
    pub tick: bool,
}

const MOST_STATUSES: usize = 64;
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(86_400);

impl UpstreamPlan {
    pub(in super::super) fn check(raw: types::UpstreamPlan, exported: UpstreamPhases) -> Result<Self, BadOutput> {
        let missing = [
            (raw.balance.is_some() && !exported.balance, "on-balance"),
            (raw.attempt.is_some() && !exported.attempt, "on-attempt"),
            (raw.done.is_some() && !exported.done, "on-done"),
            (raw.tick.is_some() && !exported.tick, "on-tick"),
        ];
        if let Some((_, phase)) = missing.iter().find(|(missing, _)| *missing) {
            return Err(BadOutput::new(format!("the plan asks for `{phase}`, which the plugin does not export")));
        }
        Ok(Self {
            balance: raw.balance.map(balance).transpose()?,
            attempt: raw.attempt.map(attempt).transpose()?,
            done: raw.done.map(done).transpose()?,
            tick: raw.tick.map(tick).transpose()?,
        })
    }

    pub const fn any(&self) -> bool {
        self.phases().any() || self.tick.is_some()
    }

    /// Phases of exchanges; ticks are none.
    pub const fn phases(&self) -> GoingOut {
        GoingOut { balance: self.balance.is_some(), attempt: self.attempt.is_some(), done: self.done.is_some() }
    }
}

impl UpstreamPhases {
    pub const fn any(self) -> bool {
        self.of_exchanges() || self.tick
    }

    pub const fn of_exchanges(self) -> bool {
        self.balance || self.attempt || self.done
    }
}

fn balance(raw: types::BalanceInterest) -> Result<BalanceInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(BalanceInterest {
        upstream: has(types::BalanceFields::UPSTREAM),
        method: has(types::BalanceFields::METHOD),
        path: has(types::BalanceFields::PATH),
        servers: ServerInterest {
            address: has(types::BalanceFields::ADDRESS),
            weight: has(types::BalanceFields::WEIGHT),
            tags: has(types::BalanceFields::TAGS),
            load: has(types::BalanceFields::LOAD),
        },
        exchange: has(types::BalanceFields::EXCHANGE),
        headers: headers(&raw.headers)?,
        attributes: each_once(raw.attributes)?,
    })
}

fn headers(names: &[String]) -> Result<Vec<HeaderName>, BadOutput> {
    if names.len() > MOST_NAMES {
        return Err(BadOutput::new(format!("an interest in more than {MOST_NAMES} names")));
    }
    let mut headers = Vec::new();
    for name in names {
        let parsed =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadOutput::quoting("an interest in no header name", name.as_bytes()))?;
        if !is_hidden(&parsed) && !headers.contains(&parsed) {
            headers.push(parsed);
        }
    }
    Ok(headers)
}

fn attempt(raw: types::AttemptInterest) -> Result<AttemptInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    if raw.statuses.len() > MOST_STATUSES {
        return Err(BadOutput::new(format!("an interest in more than {MOST_STATUSES} statuses")));
    }
    if let Some(status) = raw.statuses.iter().find(|status| !(200..600).contains(*status)) {
        return Err(BadOutput::new(format!("an interest in the status {status}, which no response has")));
    }
    let mut statuses = raw.statuses;
    statuses.sort_unstable();
    statuses.dedup();
    Ok(AttemptInterest {
        server: has(types::AttemptFields::SERVER),
        reason: has(types::AttemptFields::REASON),
        candidates: has(types::AttemptFields::CANDIDATES),
        exchange: has(types::AttemptFields::EXCHANGE),
        statuses,
        attributes: each_once(raw.attributes)?,
    })
}

fn done(raw: types::DoneInterest) -> Result<DoneInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(DoneInterest {
        upstream: has(types::DoneFields::UPSTREAM),
        server: has(types::DoneFields::SERVER),
        reason: has(types::DoneFields::REASON),
        times: has(types::DoneFields::TIMES),
        bytes: has(types::DoneFields::BYTES),
        exchange: has(types::DoneFields::EXCHANGE),
        attributes: each_once(raw.attributes)?,
    })
}

fn tick(millis: u32) -> Result<Duration, BadOutput> {
    let every = Duration::from_millis(millis.into());
    match (OFTEN..=SELDOM).contains(&every) {
        true => Ok(every),
        false => Err(BadOutput::new(format!("a tick every {millis} ms; it is 100 ms to a day"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_neither_too_frequent_nor_too_rare() {
        assert!(tick(100).is_ok() && tick(86_400_000).is_ok());
        for millis in [0, 99, 86_400_001, u32::MAX] {
            assert!(tick(millis).is_err(), "{millis}");
        }
    }

    #[test]
    fn statuses_are_those_of_responses() {
        let asks = |statuses| attempt(types::AttemptInterest { fields: types::AttemptFields::default(), statuses, attributes: Vec::new() });
        assert_eq!(asks(vec![503, 502, 503]).expect("sound").statuses, [502, 503]);
        assert!(asks(vec![101]).is_err() && asks(vec![600]).is_err());
        assert!(asks((200..265).collect()).is_err());
    }
}
