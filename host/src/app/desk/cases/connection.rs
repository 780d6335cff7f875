//! A connection of a case, from its beginning to its end.

use super::hold::{listed, name, quoted, wanted};
use super::{Decided, Desk, Failure, Outcome};
use crate::app::desk::knock::{self, ConnectionNotes, ConnectionPhase, SeenConnection, WatchedConnections};
use crate::app::desk::shown;
use crate::chain::{Around, ConnectionWalk, Hello};
use crate::config::cases::{Check, ConnectionDeed, Expected, Step, Wanted};
use crate::message::{Admission, Arrival, Refusal};
use serde_json::json;
use std::rc::Rc;
use std::sync::Arc;

/// What stands around the phases of one connection.
struct Phases<'p> {
    number: usize,
    at: &'p Step,
    notes: ConnectionNotes,
}

impl Desk<'_> {
    pub(super) fn connection(&self, number: usize, (at, deed): (&Step, &ConnectionDeed), outcome: &mut Outcome) {
        let made = &deed.made;
        let phases = Phases { number, at, notes: ConnectionNotes::default() };
        let filter = Rc::new(WatchedConnections::new(Rc::clone(self.guests), &phases.notes));
        let arrival = knock::arrival(made, number as u64 + 1);
        let mut walk = ConnectionWalk::new(Arc::clone(self.chain), Rc::from([filter]), knock::reach(made), arrival);
        let knows = |name: &str| self.known.contains(&name);
        // Faults are seen in the decision.
        let mut around = Around { knows: &knows, fault: &mut |_, _| {} };
        let admission = walk.on_accept(&mut around);
        self.held(&phases, ConnectionPhase::Accept, deed.accept.as_ref(), &walk.arrival, outcome);
        let offered = made.hello.as_ref().filter(|_| admission == Admission::Onward);
        match offered.map(knock::hello) {
            Some(Some((read, raw))) => {
                walk.on_client_hello(Hello { read: &read, raw: &raw }, &mut around);
                self.held(&phases, ConnectionPhase::Hello, deed.hello.as_ref(), &walk.arrival, outcome);
            }
            Some(None) => outcome.fail(&at.at, "connection", "a client hello that can be sent", "names that are too long".to_owned()),
            None if deed.hello.is_some() => {
                let why = if admission == Admission::Onward { "the connection is in the clear" } else { "it was decided before" };
                outcome.fail(&at.at, "on-client-hello", "it is called", why.to_owned());
            }
            None => {}
        }
        let arrival = walk.arrival.clone();
        let ending = knock::ending(&made.ending, walk.refused());
        walk.on_close(&ending, &mut |_, _| {});
        self.held(&phases, ConnectionPhase::Close, deed.close.as_ref(), &arrival, outcome);
    }

    /// Holds what was decided in a phase against what was expected.
    fn held(&self, phases: &Phases<'_>, phase: ConnectionPhase, expected: Option<&Expected>, arrival: &Arrival, outcome: &mut Outcome) {
        let seen = phases.notes.take().into_iter().find(|seen| seen.phase == phase);
        let log = self.kept.lines();
        match (&seen, expected) {
            (Some(seen), Some(expected)) => {
                let observed = Observed { seen, arrival, log: &log };
                outcome.failures.extend(expected.checks.iter().filter_map(|check| observed.against(check)));
            }
            (None, Some(_)) => {
                let why = "it is not, under these settings or after what it decided before";
                outcome.fail(&phases.at.at, phase.export(), "it is called", why.to_owned());
            }
            // Whatever it says is right where nothing is expected, as long as nothing breaks.
            (Some(seen), None) if seen.decided.is_err() => {
                outcome.fail(&phases.at.at, phase.export(), "no fault", shown::admission(&seen.decided));
            }
            _ => {}
        }
        outcome.log.extend(log);
        outcome.decided.extend(seen.map(|seen| decided(phases.number, &seen)));
    }
}

fn decided(step: usize, seen: &SeenConnection) -> Decided {
    let (said, edits) = (shown::admission(&seen.decided), shown::attributes(&seen.decided));
    let json = json!({ "verdict": shown::admission_word(&seen.decided), "said": said, "edits": edits, "phase": seen.phase.export() });
    Decided { step, phase: seen.phase.export(), said, edits, json }
}

/// All there is to hold against what was expected.
struct Observed<'o> {
    seen: &'o SeenConnection,
    arrival: &'o Arrival,
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
        let admission = decided.as_ref().ok().map(|decision| &decision.admission);
        match check {
            Wanted::Verdict(word) => (*word == shown::admission_word(decided), shown::admission(decided)),
            Wanted::Alert(number) => (admission == Some(&Admission::Refuse(Refusal::Alert(*number))), shown::admission(decided)),
            Wanted::Upstream(name) => {
                let is = match admission {
                    Some(Admission::Forward(to) | Admission::PassThrough(to)) => Some(&**to),
                    _ => None,
                };
                (is == Some(name.as_str()), quoted(is))
            }
            Wanted::Attribute(name, value) => {
                let is = self.arrival.attribute(name);
                (is.as_deref() == value.as_deref(), quoted(is.as_deref()))
            }
            Wanted::Log(text) => (self.log.iter().any(|line| line.contains(text)), listed(self.log)),
            Wanted::Fault(cause) => {
                let is = decided.as_ref().err().map(|fault| shown::cause(fault.cause));
                (is == Some(*cause), quoted(is))
            }
            // Nothing else can be expected of a connection.
            _ => (false, "a connection".to_owned()),
        }
    }
}
