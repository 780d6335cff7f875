//! `plugin test`: cases, each in a fresh guest with a fresh world around it.

mod connection;
mod going_out;
mod hold;
mod report;

pub use report::Tested;

use super::body::Left;
use super::log::Kept;
use super::outside::{self, Upstreams, World};
use super::subject::{DeskError, Subject, not_granted};
use super::watch::{Notes, Phase, Seen, Watched};
use super::{log, made, on_a_worker, shown};
use crate::app::filters::{Known, Loaded, settle};
use crate::chain::{Chain, Course, Decision, Failing, Fault, Link, Verdict, Walk, Way};
use crate::config::cases::{Case, Cases, Check, Deed, MadeExchange, MadeResponse, Step, Wanted};
use crate::config::{Diagnostic, Limits, Location};
use crate::message::{Exchange, Reply, RequestHead};
use crate::sandbox::{ErrandError, Grant, Guests, HeldTime};
use bytes::Bytes;
use going_out::{Journey, Went};
use hold::{After, Observed};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// Where the exchanges of cases go by default.
const UPSTREAM: &str = "app";

/// One case, and what became of it.
pub struct Outcome {
    pub name: String,
    pub at: Location,
    pub failures: Vec<Failure>,
    /// Every decision, of all steps.
    pub decided: Vec<Decided>,
    pub log: Vec<String>,
}

/// One thing that does not hold.
pub struct Failure {
    pub at: Location,
    pub what: String,
    pub wanted: String,
    pub got: String,
}

/// A decision and where it was made.
pub struct Decided {
    /// From 0.
    pub step: usize,
    pub phase: &'static str,
    /// In words.
    pub said: String,
    pub edits: Vec<String>,
    pub json: Value,
}

/// Runs all cases of a file against a component. An error: they could not be run at all.
pub fn test(file: &Path, cases: &Path) -> Result<Tested, DeskError> {
    let subject = Subject::read(file)?;
    let (cases, warnings) = subject.cases(cases)?;
    let (_sandbox, loaded) = subject.load()?;
    let missing = not_granted(&loaded, &cases.allow);
    if !missing.is_empty() {
        return Err(DeskError::NotGranted(missing));
    }
    let limits = cases.limits.unwrap_or_else(|| subject.limits());
    let usual = subject.terms(&loaded);
    let terms = Grant { limits, isolation: cases.isolation.or(usual.isolation), ..usual };
    let kept = log::keep();
    let mut outcomes = Vec::new();
    for case in &cases.cases {
        outcomes.push(on_a_worker(run((&loaded, &terms), &cases, case, &kept))?);
    }
    Ok(Tested { outcomes, warnings })
}

async fn run((loaded, terms): (&Loaded, &Grant), cases: &Cases, case: &Case, kept: &Kept) -> Outcome {
    let clock = HeldTime::new(cases.now);
    let world = World { stores: Some(&cases.stores), secrets: Some(&cases.secrets), clock: Some(Arc::clone(&clock)) };
    let rights = outside::rights(&cases.allow, &world);
    let grant = Grant { rights, ..terms.clone() };
    let upstreams = cases.upstreams.keys().map(|name| &*name.0).chain([UPSTREAM]).collect();
    let known = Known { upstreams, stores: cases.stores.keys().map(|name| &*name.0).collect() };
    let mut outcome = Outcome { name: case.name.clone(), at: case.at.clone(), failures: Vec::new(), decided: Vec::new(), log: Vec::new() };
    match settle(loaded, &case.link, Some(&known), None, |_| grant) {
        Err(problems) => outcome.failures = refused(case, &problems),
        Ok(_) if !case.refused.is_empty() => {
            let unheld =
                |check: &Check| Failure { at: check.at.clone(), what: "settings".into(), wanted: "refused".into(), got: "taken".into() };
            outcome.failures = case.refused.iter().map(unheld).collect();
        }
        Ok((configured, _)) => {
            let upstreams = Upstreams::default();
            let nobody = Err(ErrandError::Failed("nothing in the file of cases answers this".to_owned()));
            let errands = upstreams.open(cases.upstreams.clone(), nobody);
            let notes = Notes::default();
            let guests = Rc::new(configured.on_worker(Some(errands)));
            let filters = [Rc::new(Watched::new(0, Rc::clone(&guests), &notes))];
            let link = Link { filter: 0, when: None, spec: Arc::new(case.link.clone()) };
            let chain = Arc::new(Chain { links: Box::new([link]) });
            let known = &known.upstreams;
            let desk = Desk { chain: &chain, filters: &filters, guests: &guests, notes: &notes, upstreams: &upstreams, known, kept };
            for (number, step) in case.steps.iter().enumerate() {
                clock.advance(step.after);
                match &step.deed {
                    Deed::Exchange(exchange) => desk.exchange(number, (step, exchange), &mut outcome).await,
                    Deed::Connection(connection) => desk.connection(number, (step, connection), &mut outcome),
                    Deed::Tick(tick) => desk.tick(number, (step, tick), &mut outcome).await,
                }
            }
        }
    }
    outcome
}

/// Settings that were not taken: as it should be, or not.
fn refused(case: &Case, problems: &[Diagnostic]) -> Vec<Failure> {
    let said = problems.iter().map(|problem| &*problem.message).collect::<Vec<_>>().join("; ");
    if case.refused.is_empty() {
        let place = problems.first().and_then(|problem| problem.place.as_ref()).map_or(&case.at, |place| &place.at);
        return vec![Failure { at: place.clone(), what: "settings".into(), wanted: "taken".into(), got: said }];
    }
    let unheld = case.refused.iter().filter(|check| !matches!(&check.wanted, Wanted::Refused(text) if said.contains(text)));
    let failure =
        |check: &Check| Failure { at: check.at.clone(), what: "settings".into(), wanted: hold::wanted(&check.wanted), got: said.clone() };
    unheld.map(failure).collect()
}

/// One case's link with its guests, and what is looked at while they decide.
struct Desk<'d> {
    chain: &'d Arc<Chain>,
    filters: &'d [Rc<Watched>],
    /// Behind the filters.
    guests: &'d Rc<Guests>,
    notes: &'d Notes,
    upstreams: &'d Upstreams,
    known: &'d [&'d str],
    kept: &'d Kept,
}

impl Desk<'_> {
    async fn exchange(&self, number: usize, (at, step): (&Step, &MadeExchange), outcome: &mut Outcome) {
        let mut head = match made::head(&step.request) {
            Ok(head) => head,
            Err(error) => {
                outcome.fail(&at.at, "request", "one that the proxy takes", error.to_string());
                return;
            }
        };
        let mut exchange = made::exchange(&head, step.request.client, number as u64 + 1, "example.test", "/*");
        for (name, value) in &step.request.attributes {
            exchange.set_attribute(name.as_str().into(), value.as_str().into());
        }
        let mut walk = Walk::new(self.chain, self.filters);
        // Who is told of the end is noted from the beginning.
        let attendance = step.going_out.done.as_ref().map(|_| walk.attend());
        let knows = |name: &str| self.known.contains(&name);
        let mut body = made::request_body(step.request.body.as_ref(), &Limits::default());
        let course = walk.on_request(&mut exchange, &mut head, &mut body, knows, |_, _| {}).await;
        let goes_on = matches!(course, Course::Onward | Course::Forward(_));
        let left = if goes_on { body.read().await } else { Left::default() };
        let headers = headers_of(&course).unwrap_or(&head.headers);
        let too_large = matches!(course, Course::Ungathered(_));
        let after = After { head: Some(&head), headers, exchange: &exchange, left: &left, too_large };
        self.judge(number, (at, step), Way::Request, &after, outcome);
        let mut went = Went::by(&course, &left);
        if goes_on && left.broken.is_none() {
            exchange.upstream = Some(match course {
                Course::Forward(upstream) => upstream,
                _ => UPSTREAM.into(),
            });
            let journey = Journey { number, at, walk: &mut walk, exchange: &mut exchange, request: &head };
            let arrived = self.go_out(journey, &step.going_out, &mut went, outcome);
            if let Some(made) = step.response.as_ref().filter(|_| arrived) {
                let (status, sent) = self.respond(number, (at, step), &mut walk, (&mut exchange, &head, made), outcome).await;
                went.answered(status, sent);
            }
        } else {
            ended_early(at, step, outcome);
        }
        drop(walk);
        if let (Some(done), Some(attendance)) = (&step.going_out.done, attendance) {
            self.end((number, at), &attendance, (done, &went), (&exchange, &head), outcome);
        }
    }

    /// What the client gets: status, and bytes of the body.
    async fn respond(
        &self,
        number: usize,
        step: (&Step, &MadeExchange),
        walk: &mut Walk<'_, Watched>,
        (exchange, request, made): (&mut Exchange, &RequestHead, &MadeResponse),
        outcome: &mut Outcome,
    ) -> (Option<StatusCode>, usize) {
        let mut response = made::response(made);
        let mut body = made::response_body(made.body.as_ref(), request.method == Method::HEAD, &Limits::default());
        let mut too_large = false;
        // A fault is seen in the decision, and nobody gets this.
        let failed = |failing: Failing| {
            too_large = matches!(failing, Failing::Ungathered(_));
            Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() }
        };
        // An abort is seen in the decision.
        let ended = walk.on_response(exchange, request, &mut response, &mut body, |_, _| {}, failed).await;
        let left = body.read().await;
        let after = After { head: None, headers: &response.headers, exchange, left: &left, too_large };
        self.judge(number, step, Way::Response, &after, outcome);
        (ended.is_ok().then_some(response.status), left.bytes.len())
    }

    /// Holds what was decided about a message against what was expected.
    fn judge(&self, number: usize, (at, step): (&Step, &MadeExchange), way: Way, after: &After<'_>, outcome: &mut Outcome) {
        let seen: Vec<Seen> = self.notes.take().into_iter().filter(|seen| seen.phase.way() == way).collect();
        let (log, asked, unanswered) = (self.kept.lines(), self.upstreams.asked(), self.upstreams.unanswered());
        let expected = match way {
            Way::Request => &step.expect,
            Way::Response => &step.expect_response,
        };
        let decided = together(&seen);
        match (&decided, expected) {
            (Some(decided), Some(expected)) => {
                let observed = Observed { decided, seen: &seen, after, asked, log: &log };
                outcome.failures.extend(expected.checks.iter().filter_map(|check| observed.against(check)));
            }
            // That a request goes on is taken for granted where something is said of the response only, and everywhere that nothing breaks.
            (Some(decided), None) => {
                let observed = Observed { decided, seen: &seen, after, asked, log: &log };
                let word = observed.word();
                let goes_on = if way == Way::Request { ["next", "forward"].contains(&word) } else { word != "fault" };
                let check = Check { wanted: Wanted::Verdict("next"), at: at.at.clone() };
                outcome.failures.extend(observed.against(&check).filter(|_| !goes_on));
            }
            (None, Some(_)) => {
                let (head, body) =
                    if way == Way::Request { (Phase::Request, Phase::RequestBody) } else { (Phase::Response, Phase::ResponseBody) };
                let called = format!("`{}` or `{}` is called", head.export(), body.export());
                outcome.fail(&at.at, head.export(), &called, "neither is, under these settings".to_owned());
            }
            (None, None) => {}
        }
        outcome.logged(log, unanswered);
        let decided = |seen: &Seen| Decided {
            step: number,
            phase: seen.phase.export(),
            said: shown::seen(seen),
            edits: shown::all_edits(seen),
            json: shown::seen_json(seen),
        };
        outcome.decided.extend(seen.iter().map(decided));
    }
}

/// What was decided about a message, by its head and by its body: the last word with all edits. `None`: nothing was asked.
fn together(seen: &[Seen]) -> Option<Result<Decision, Fault>> {
    let mut all = Decision::next();
    for seen in seen {
        match &seen.decided {
            Ok(decision) => {
                all.edits.extend(&decision.edits);
                if !matches!(decision.verdict, Verdict::Next) {
                    all.verdict = decision.verdict.clone();
                }
            }
            Err(fault) => return Some(Err(fault.clone())),
        }
    }
    (!seen.is_empty()).then_some(Ok(all))
}

/// Nothing follows a request that was answered, and nothing can be expected of it.
fn ended_early(at: &Step, step: &MadeExchange, outcome: &mut Outcome) {
    let MadeExchange { going_out, expect_response, .. } = step;
    let balance = going_out.balance.as_ref().and_then(|asked| asked.expect.as_ref());
    let attempt = going_out.attempt.as_ref().and_then(|asked| asked.expect.as_ref());
    for (what, expected) in [("choice of a server", balance), ("attempt", attempt), ("response", expect_response.as_ref())] {
        if expected.is_some() {
            outcome.fail(&at.at, what, "one to decide about", "none: the request phase ended the exchange".to_owned());
        }
    }
}

impl Outcome {
    /// What was asked that nobody answers may be why something does not hold.
    fn logged(&mut self, lines: Vec<String>, unanswered: Vec<String>) {
        if !self.failures.is_empty() {
            self.log.extend(unanswered.iter().map(|request| format!("(nothing in the file of cases answers {request})")));
        }
        self.log.extend(lines);
    }

    fn fail(&mut self, at: &Location, what: &str, wanted: &str, got: String) {
        self.failures.push(Failure { at: at.clone(), what: what.to_owned(), wanted: wanted.to_owned(), got });
    }
}

fn headers_of(course: &Course) -> Option<&HeaderMap> {
    match course {
        Course::Reply(reply) => Some(&reply.headers),
        _ => None,
    }
}
