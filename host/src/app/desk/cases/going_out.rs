//! The way of a case's exchange to its upstream, and its end; and ticks.

use super::hold::{listed, name, quoted, wanted};
use super::{Decided, Desk, Failure, Outcome};
use crate::app::desk::body::Left;
use crate::app::desk::going_out::{self, SERVER, SeenStep, StepPhase};
use crate::app::desk::shown;
use crate::app::desk::watch::Watched;
use crate::chain::{Attendance, Audience, Course, Filter, Walk};
use crate::config::cases::{Asked, Brought, Check, Expected, GoingOutDeed, MadeAttempt, MadeChoice, MadeDone, Step, TickDeed, Wanted};
use crate::message::{Again, Done, Exchange, RequestHead, Tick};
use crate::proxy::Reason;
use http::StatusCode;
use serde_json::json;
use std::time::Duration;

/// An exchange on its way, and where the case says so.
pub(super) struct Journey<'j, 'w> {
    pub number: usize,
    pub at: &'j Step,
    pub walk: &'j mut Walk<'w, Watched>,
    pub exchange: &'j mut Exchange,
    pub request: &'j RequestHead,
}

/// What became of an exchange, for who is told of its end.
#[derive(Debug, Default)]
pub(super) struct Went {
    server: Option<String>,
    /// Where it goes after an attempt that failed.
    next: Option<String>,
    failed: bool,
    attempts: u32,
    status: Option<StatusCode>,
    reason: Option<&'static str>,
    received: usize,
    sent: usize,
}

impl Went {
    /// After the request phase.
    pub fn by(course: &Course, left: &Left) -> Self {
        let went = Self { received: left.bytes.len(), ..Self::default() };
        match course {
            Course::Onward | Course::Forward(_) => {
                Self { server: Some(SERVER.to_owned()), attempts: 1, status: Some(StatusCode::OK), ..went }
            }
            Course::Reply(reply) => Self { status: Some(reply.status), sent: reply.body.len(), ..went },
            Course::Abort => Self { reason: Some("plugin_abort"), ..went },
            Course::Failed(fault) => went.failed(fault.cause.reason()),
            Course::Ungathered(_) => went.failed("body_too_large"),
        }
    }

    /// A response came, after what else was tried.
    pub fn answered(&mut self, status: Option<StatusCode>, sent: usize) {
        self.attempts += u32::from(self.failed);
        self.server = self.next.take().or(self.server.take());
        (self.status, self.sent) = (status, sent);
        self.reason = status.is_none().then_some("plugin_abort");
    }

    /// An attempt on this server failed.
    fn attempted(&mut self, made: &MadeAttempt, server: String) {
        (self.server, self.failed, self.attempts) = (Some(server), true, made.number);
        (self.status, self.reason) = match made.brought {
            Brought::Status(status) => (StatusCode::from_u16(status).ok(), None),
            Brought::Nothing(reason) => (Reason::of(reason).status, Some(reason)),
        };
    }

    fn failed(self, reason: &'static str) -> Self {
        Self { status: Reason::of(reason).status, reason: Some(reason), ..self }
    }

    fn done<'d>(&'d self, exchange: &'d Exchange) -> Done<'d> {
        Done {
            upstream: exchange.upstream.as_deref(),
            server: self.server.as_deref(),
            attempts: self.attempts,
            status: self.status,
            reason: self.reason,
            duration: Duration::ZERO,
            first_byte: None,
            received: self.received as u64,
            sent: self.sent as u64,
        }
    }
}

impl Desk<'_> {
    /// Servers to choose from, and an attempt that failed, if the case has them. `false`: a fault ended the exchange.
    pub(super) fn go_out(&self, mut journey: Journey<'_, '_>, deed: &GoingOutDeed, went: &mut Went, outcome: &mut Outcome) -> bool {
        let mut chosen = None;
        if let Some(asked) = &deed.balance {
            let first = asked.made.servers.first().map(|server| server.address.clone());
            match self.balance(&mut journey, asked, outcome) {
                Ok(server) => chosen = server.or(first),
                Err(Halted) => return false,
            }
            went.server.clone_from(&chosen);
        }
        let Some(asked) = &deed.attempt else { return true };
        let first = || asked.made.servers.first().map(|server| server.address.clone());
        let server = asked.made.server.clone().or(chosen).or_else(first).unwrap_or_else(|| SERVER.to_owned());
        self.attempt(&mut journey, (asked, server), went, outcome).is_ok()
    }

    fn balance(&self, journey: &mut Journey<'_, '_>, asked: &Asked<MadeChoice>, outcome: &mut Outcome) -> Result<Option<String>, Halted> {
        let upstream = journey.exchange.upstream.clone().unwrap_or_default();
        let candidates = going_out::candidates(&asked.made.servers);
        let choice = going_out::choice(&asked.made, &upstream, &candidates);
        // Faults are seen in the decision.
        let chosen = journey.walk.on_balance(journey.exchange, journey.request, &choice, |_, _| {});
        self.stepped(&journey.scene(UNASKED), StepPhase::Balance, asked.expect.as_ref(), outcome);
        let place = chosen.map_err(|_| Halted)?;
        Ok(place.and_then(|place| candidates.get(place)).map(|server| server.address.to_owned()))
    }

    fn attempt(
        &self,
        journey: &mut Journey<'_, '_>,
        (asked, server): (&Asked<MadeAttempt>, String),
        went: &mut Went,
        outcome: &mut Outcome,
    ) -> Result<(), Halted> {
        // A server that failed is not offered again.
        let mut candidates = going_out::candidates(&asked.made.servers);
        candidates.retain(|candidate| candidate.address != server);
        let failed = going_out::attempt(&asked.made, &server, &candidates);
        let again = journey.walk.on_attempt(journey.exchange, journey.request, &failed, |_, _| {});
        let absent = match failed.status.filter(|status| !journey.walk.judges(Some(*status)) && journey.walk.judges(None)) {
            Some(status) => format!("it is not: to this plugin, {} is no failure", status.as_u16()),
            None => UNASKED.to_owned(),
        };
        self.stepped(&journey.scene(&absent), StepPhase::Attempt, asked.expect.as_ref(), outcome);
        if let Ok(Again::On(place)) = again {
            went.next = candidates.get(place).map(|next| next.address.to_owned());
        }
        went.attempted(&asked.made, server);
        again.map(drop).map_err(|_| Halted)
    }

    /// The exchange is over.
    pub(super) fn end(
        &self,
        (number, at): (usize, &Step),
        attendance: &Attendance<<Watched as Filter>::Held>,
        (asked, went): (&Asked<MadeDone>, &Went),
        exchange: (&Exchange, &RequestHead),
        outcome: &mut Outcome,
    ) {
        let audience = Audience::of(self.chain, self.filters);
        let done = going_out::done(&asked.made, went.done(exchange.0));
        attendance.tell(&audience, exchange.0, exchange.1, &done, |_, _| {});
        let scene = Scene { number, at, exchange: Some(exchange), absent: UNASKED };
        self.stepped(&scene, StepPhase::Done, asked.expect.as_ref(), outcome);
    }

    pub(super) async fn tick(&self, number: usize, (at, deed): (&Step, &TickDeed), outcome: &mut Outcome) {
        let scene = Scene { number, at, exchange: None, absent: "it is not, under these settings" };
        if self.guests.ticks_every().is_some() {
            let ticked = self.guests.tick(Tick { number: deed.number, worker: deed.worker, workers: deed.workers }).await;
            self.filters.iter().for_each(|filter| filter.steps.told(StepPhase::Tick, &ticked));
        }
        self.stepped(&scene, StepPhase::Tick, Some(&deed.expect), outcome);
    }

    /// Holds what was decided in a phase against what was expected.
    fn stepped(&self, scene: &Scene<'_>, phase: StepPhase, expected: Option<&Expected>, outcome: &mut Outcome) {
        let seen = self.filters.iter().flat_map(|filter| filter.steps.take()).find(|seen| seen.phase == phase);
        let (log, asked) = (self.kept.lines(), self.upstreams.asked());
        match (&seen, expected) {
            (Some(seen), Some(expected)) => {
                let observed = Observed { seen, exchange: scene.exchange, asked, log: &log };
                outcome.failures.extend(expected.checks.iter().filter_map(|check| observed.against(check)));
            }
            (None, Some(expected)) => {
                let at = expected.checks.first().map_or(&scene.at.at, |check| &check.at);
                outcome.fail(at, phase.export(), "it is called", scene.absent.to_owned());
            }
            // Whatever it says is right where nothing is expected, as long as nothing breaks.
            (Some(seen), None) if seen.decided.is_err() => {
                outcome.fail(&scene.at.at, phase.export(), "no fault", shown::step(&seen.decided));
            }
            _ => {}
        }
        outcome.logged(log, self.upstreams.unanswered());
        outcome.decided.extend(seen.map(|seen| decided(scene.number, &seen)));
    }
}

/// A fault ended the exchange.
struct Halted;

/// As far as anybody can say who looks from outside.
const UNASKED: &str = "it is not, under these settings or after what was decided before";

/// What a phase is held against: where it is written, and what was there when it was over.
struct Scene<'s> {
    number: usize,
    at: &'s Step,
    /// `None`: there is none.
    exchange: Option<(&'s Exchange, &'s RequestHead)>,
    /// Why the phase was not entered, if it was not.
    absent: &'s str,
}

impl Journey<'_, '_> {
    const fn scene<'s>(&'s self, absent: &'s str) -> Scene<'s> {
        Scene { number: self.number, at: self.at, exchange: Some((self.exchange, self.request)), absent }
    }
}

fn decided(step: usize, seen: &SeenStep) -> Decided {
    let (said, edits, word) = (shown::step(&seen.decided), shown::step_attributes(&seen.decided), shown::step_word(&seen.decided));
    let mut json = json!({ "verdict": word, "said": said, "edits": edits, "phase": seen.phase.export() });
    if let Some(server) = seen.decided.as_ref().ok().and_then(|said| said.verdict.server()) {
        json["server"] = json!(server);
    }
    Decided { step, phase: seen.phase.export(), said, edits, json }
}

/// All there is to hold against what was expected.
struct Observed<'o> {
    seen: &'o SeenStep,
    exchange: Option<(&'o Exchange, &'o RequestHead)>,
    asked: usize,
    log: &'o [String],
}

impl Observed<'_> {
    /// `None`: it holds.
    fn against(&self, check: &Check) -> Option<Failure> {
        let (holds, got) = self.holds(&check.wanted);
        (!holds).then(|| Failure { at: check.at.clone(), what: name(&check.wanted), wanted: wanted(&check.wanted), got })
    }

    /// And what there is instead.
    fn holds(&self, check: &Wanted) -> (bool, String) {
        let decided = &self.seen.decided;
        match check {
            Wanted::Verdict(word) => (*word == shown::step_word(decided), shown::step(decided)),
            Wanted::Server(server) => {
                let is = decided.as_ref().ok().and_then(|said| said.verdict.server());
                (is == server.as_deref(), quoted(is))
            }
            Wanted::Attribute(name, value) => {
                let is = self.exchange.and_then(|(exchange, request)| exchange.attribute(name, Some(request)));
                (is.as_deref() == value.as_deref(), quoted(is.as_deref()))
            }
            Wanted::Asked(count) => (*count == self.asked, self.asked.to_string()),
            Wanted::Log(text) => (self.log.iter().any(|line| line.contains(text)), listed(self.log)),
            Wanted::Fault(cause) => {
                let is = decided.as_ref().err().map(|fault| shown::cause(fault.cause));
                (is == Some(*cause), quoted(is))
            }
            // Nothing else can be expected of these phases.
            _ => (false, "a phase on the way to an upstream".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::cases::{ATTEMPT_REASONS, END_REASONS, UNSENT};
    use crate::proxy::REASONS;

    /// Of requests that come to no link, or for which there is no answer but one of a link or an upstream.
    const BEFORE_LINKS: [&str; 22] = [
        "bad_request_line",
        "request_line_too_long",
        "bad_target",
        "bad_version",
        "bad_field",
        "obsolete_folding",
        "bare_line_break",
        "fields_too_large",
        "too_many_fields",
        "length_and_chunked",
        "bad_content_length",
        "bad_transfer_encoding",
        "bad_host",
        "head_timeout",
        "bad_http2_request",
        "method_refused",
        "last_hop",
        "acme_challenge",
        "https_redirect",
        "misdirected",
        "other_client_auth",
        "no_site",
    ];

    #[test]
    fn files_of_cases_know_the_reasons_that_the_proxy_has() {
        for reason in REASONS.iter().map(|reason| reason.token) {
            let known = END_REASONS.contains(&reason);
            let before = BEFORE_LINKS.contains(&reason) || ["no_route", "internal"].contains(&reason);
            assert!(known != before, "{reason}: in a case's list, or of a request that comes to no link");
        }
        let proxy = |reason: &str| REASONS.iter().any(|known| known.token == reason);
        assert!(END_REASONS.iter().all(|reason| proxy(reason)), "{END_REASONS:?}");
        assert!(ATTEMPT_REASONS.iter().chain(&UNSENT).all(|reason| END_REASONS.contains(reason)));
    }
}
