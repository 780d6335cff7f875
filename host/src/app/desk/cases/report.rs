//! What became of the cases, for people and for programs.

use super::{Failure, Outcome};
use crate::config::Report;
use serde_json::{Value, json};
use std::fmt::Write;

/// All cases of a file.
pub struct Tested {
    pub(super) outcomes: Vec<Outcome>,
    /// About the file itself.
    pub(super) warnings: Report,
}

impl Tested {
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }

    pub fn text(&self) -> String {
        let mut out = self.warnings.text();
        for outcome in &self.outcomes {
            // Writing to a string cannot fail.
            let _ = match outcome.failures.is_empty() {
                true => writeln!(out, "ok      {}", outcome.name),
                false => writeln!(out, "FAILED  {}\n        {}", outcome.name, outcome.at),
            };
            if !outcome.failures.is_empty() {
                outcome.failures.iter().for_each(|failure| one(&mut out, failure));
                details(&mut out, outcome);
            }
        }
        let failed = self.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
        let _ = writeln!(out, "{} passed, {failed} failed", self.outcomes.len() - failed);
        out
    }

    pub fn json(&self) -> Value {
        let cases: Vec<Value> = self.outcomes.iter().map(case).collect();
        json!({ "passed": self.passed(), "cases": cases, "findings": self.warnings.json() })
    }
}

fn one(out: &mut String, Failure { at, what, wanted, got }: &Failure) {
    // Lists are shown as a difference, line by line.
    if wanted.contains('\n') || got.contains('\n') {
        let _ = writeln!(out, "        {at}  {what}:");
        for line in difference(wanted, got) {
            let _ = writeln!(out, "            {line}");
        }
    } else {
        let _ = writeln!(out, "        {at}  {what}: wanted {wanted}, got {got}");
    }
}

fn details(out: &mut String, outcome: &Outcome) {
    for decided in &outcome.decided {
        let step = if decided.step == 0 { String::new() } else { format!(" (then {})", decided.step) };
        let _ = writeln!(out, "        {}{step} decided: {}", decided.phase, decided.said);
        for edit in &decided.edits {
            let _ = writeln!(out, "            {edit}");
        }
    }
    for line in &outcome.log {
        let _ = writeln!(out, "        log  {line}");
    }
}

fn case(outcome: &Outcome) -> Value {
    let failure = |Failure { at, what, wanted, got }: &Failure| json!({ "at": at.to_string(), "what": what, "wanted": wanted, "got": got });
    let decided = outcome.decided.iter().map(|decided| {
        let mut shown = decided.json.clone();
        shown["step"] = json!(decided.step);
        shown
    });
    json!({
        "name": outcome.name, "at": outcome.at.to_string(), "passed": outcome.failures.is_empty(),
        "failures": outcome.failures.iter().map(failure).collect::<Vec<_>>(), "decided": decided.collect::<Vec<_>>(), "log": outcome.log,
    })
}

/// `-` is wanted and not there, `+` is there and not wanted. By the longest common subsequence; lists of edits are short.
fn difference(wanted: &str, got: &str) -> Vec<String> {
    let lines = |text: &'_ str| -> Vec<String> { text.lines().filter(|line| *line != "none").map(str::to_owned).collect() };
    let (old, new) = (lines(wanted), lines(got));
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(format!("- {}", old[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_shown_as_a_difference() {
        assert_eq!(difference("a\nb\nc", "a\nx\nc\nd"), ["  a", "- b", "+ x", "  c", "+ d"]);
        assert_eq!(difference("none", "a\nb"), ["+ a", "+ b"]);
        assert_eq!(difference("a\nb", "none"), ["- a", "- b"]);
    }
}
