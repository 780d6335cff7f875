//! Ways to upstreams that never were, and what is seen of a filter that has a say in them.

use crate::chain::{Fault, Said};
use crate::config::cases::{Brought, MadeAttempt, MadeChoice, MadeDone, MadeServer};
use crate::message::{Again, Candidate, Choice, Done, FailedAttempt};
use crate::proxy::Reason;
use http::StatusCode;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// A server, where none is named. An address for documentation (RFC 5737).
pub const SERVER: &str = "192.0.2.10:8080";
/// How long an exchange took, and its server until it answered, where that is not written.
const TOOK: Duration = Duration::from_millis(10);
const FIRST_BYTE: Duration = Duration::from_millis(5);

pub fn candidates(servers: &[MadeServer]) -> Vec<Candidate<'_>> {
    servers.iter().map(candidate).collect()
}

fn candidate(server: &MadeServer) -> Candidate<'_> {
    let MadeServer { number, address, weight, tags, running, latency } = server;
    Candidate { number: *number, address, weight: *weight, tags, running: *running, latency: *latency }
}

pub fn choice<'c>(made: &'c MadeChoice, upstream: &'c str, candidates: &'c [Candidate<'c>]) -> Choice<'c> {
    Choice { upstream: made.upstream.as_deref().unwrap_or(upstream), failed: made.failed, candidates }
}

pub fn attempt<'a>(made: &'a MadeAttempt, server: &'a str, candidates: &'a [Candidate<'a>]) -> FailedAttempt<'a> {
    let (reason, status) = match made.brought {
        Brought::Status(status) => ("status", StatusCode::from_u16(status).ok()),
        Brought::Nothing(reason) => (reason, None),
    };
    // Where none may follow, no server is offered.
    let candidates = if made.left == 0 { &[] } else { candidates };
    FailedAttempt { server, attempt: made.number, reason, status, sent: made.sent, left: made.left, candidates }
}

/// How an exchange ended: as it went, where nothing else is written. Of that, the times are made up.
pub fn done<'d>(made: &'d MadeDone, went: Done<'d>) -> Done<'d> {
    let server = made.server.as_ref().map_or(went.server, |server| server.as_deref());
    let meant = made.reason.map_or(went.status, |reason| Reason::of(reason).status);
    Done {
        upstream: made.upstream.as_ref().map_or(went.upstream, |upstream| upstream.as_deref()),
        server,
        attempts: made.attempts.unwrap_or(went.attempts),
        status: made.status.map_or(meant, |status| status.and_then(|status| StatusCode::from_u16(status).ok())),
        reason: made.reason.or(went.reason),
        duration: made.duration.unwrap_or(TOOK),
        first_byte: made.first_byte.or_else(|| server.map(|_| FIRST_BYTE)),
        received: made.received.unwrap_or(went.received),
        sent: made.sent.unwrap_or(went.sent),
    }
}

/// One call.
pub struct SeenStep {
    pub phase: StepPhase,
    pub decided: Result<Said<Step>, Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    Balance,
    Attempt,
    Done,
    Tick,
}

impl StepPhase {
    pub const fn export(self) -> &'static str {
        match self {
            Self::Balance => "on-balance",
            Self::Attempt => "on-attempt",
            Self::Done => "on-done",
            Self::Tick => "on-tick",
        }
    }
}

/// What was decided, with servers by their addresses; `None`: of one that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Next,
    Choose(Option<String>),
    Stop,
    Again,
    AgainOn(Option<String>),
    /// There was nothing to decide.
    Told,
}

impl Step {
    /// Who is chosen.
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Choose(server) | Self::AgainOn(server) => server.as_deref(),
            Self::Next | Self::Stop | Self::Again | Self::Told => None,
        }
    }

    const fn is_impossible(&self) -> bool {
        matches!(self, Self::Choose(None) | Self::AgainOn(None))
    }
}

/// What one filter was asked, and said, in order.
#[derive(Clone, Default)]
pub struct Steps(Rc<RefCell<Vec<SeenStep>>>);

impl Steps {
    pub fn take(&self) -> Vec<SeenStep> {
        self.0.take()
    }

    pub fn balanced(&self, said: &Result<Said<Option<usize>>, Fault>, among: &[Candidate<'_>]) {
        let step = |place: &Option<usize>| place.map_or(Step::Next, |place| Step::Choose(address(among, place)));
        self.note(StepPhase::Balance, said, step);
    }

    pub fn judged(&self, said: &Result<Said<Again>, Fault>, among: &[Candidate<'_>]) {
        let step = |again: &Again| match again {
            Again::AsConfigured => Step::Next,
            Again::Stop => Step::Stop,
            Again::Anywhere => Step::Again,
            Again::On(place) => Step::AgainOn(address(among, *place)),
        };
        self.note(StepPhase::Attempt, said, step);
    }

    pub fn told(&self, phase: StepPhase, ended: &Result<(), Fault>) {
        let decided = ended.clone().map(|()| Said::only(Step::Told));
        self.0.borrow_mut().push(SeenStep { phase, decided });
    }

    /// The last decision turned out to be impossible; `false`: it was none of these.
    pub fn spoil(&self, fault: &Fault) -> bool {
        let mut steps = self.0.borrow_mut();
        let last = steps.last_mut().filter(|last| last.decided.as_ref().is_ok_and(|said| said.verdict.is_impossible()));
        last.map(|last| last.decided = Err(fault.clone())).is_some()
    }

    fn note<T>(&self, phase: StepPhase, said: &Result<Said<T>, Fault>, step: impl Fn(&T) -> Step) {
        let decided = match said {
            Ok(Said { verdict, attributes }) => Ok(Said { verdict: step(verdict), attributes: attributes.clone() }),
            Err(fault) => Err(fault.clone()),
        };
        self.0.borrow_mut().push(SeenStep { phase, decided });
    }
}

fn address(among: &[Candidate<'_>], place: usize) -> Option<String> {
    among.get(place).map(|candidate| candidate.address.to_owned())
}
