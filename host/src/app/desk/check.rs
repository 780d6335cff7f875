//! `plugin check`: everything that would refuse a component or its settings, at once, and what to do about it.

use super::outside::{World, rights};
use super::subject::{AllowArgument, DeskError, Subject, not_granted};
use crate::app::filters::{Loaded, settle};
use crate::app::prepare::sandbox;
use crate::config::{Allow, Diagnostic, LinkSpec};
use crate::sandbox::{Capability, Grant, LoadError, Standing};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Larger than what any language but an interpreter needs, so worth a word. Bytes.
const LARGE: usize = 1 << 20;

/// What was found.
pub struct Reviewed {
    file: String,
    name: String,
    problems: Vec<Problem>,
    hints: Vec<Problem>,
    allow: Allow,
    link: LinkSpec,
    /// Whether there is a file of settings.
    given: bool,
}

/// Something wrong or worth knowing, and what to do.
struct Problem {
    what: String,
    advice: Option<String>,
}

/// Loads a component, holds its imports against what is granted, and its settings against its schema and itself.
pub fn check(file: &Path, allow: &[AllowArgument], settings: Option<&Path>) -> Result<Reviewed, DeskError> {
    let subject = Subject::read(file)?;
    let mut reviewed = Reviewed {
        file: subject.file.clone(),
        name: subject.name.clone(),
        problems: Vec::new(),
        hints: Vec::new(),
        allow: AllowArgument::all(allow),
        link: subject.link(settings)?,
        given: settings.is_some(),
    };
    reviewed.imports(&subject)?;
    match subject.load() {
        Ok((_sandbox, loaded)) => reviewed.loaded(&subject, &loaded),
        // Told with the imports, all of them and not only the first.
        Err(DeskError::Load { source: LoadError::Import(_), .. }) => {}
        Err(DeskError::Load { source, .. }) => reviewed.problem(source.to_string(), source.advice()),
        Err(DeskError::Schema { why, .. }) => reviewed.problem(why, None),
        Err(error) => return Err(error),
    }
    Ok(reviewed)
}

impl Reviewed {
    pub fn well(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, what: String, advice: Option<String>) {
        self.problems.push(Problem { what, advice });
    }

    fn hint(&mut self, what: String, advice: &str) {
        self.hints.push(Problem { what, advice: Some(advice.to_owned()) });
    }

    /// What no grant can help.
    fn imports(&mut self, subject: &Subject) -> Result<(), DeskError> {
        // What is no component at all is told when it is loaded.
        let Ok(seen) = sandbox(None)?.inspect(subject.bytes()) else { return Ok(()) };
        for import in seen.imports {
            if let Standing::Refused(refusal) = import.standing {
                let error = LoadError::Import(refusal);
                self.problem(error.to_string(), error.advice());
            }
        }
        Ok(())
    }

    fn loaded(&mut self, subject: &Subject, loaded: &Loaded) {
        for (import, grant) in not_granted(loaded, &subject.allow(self.allow.clone(), &[], &[])) {
            self.problem(format!("imports `{import}` but has no right to it"), Some(format!("add: allow = {{ {grant} }}")));
        }
        self.idle_grants(loaded);
        self.settings(subject, loaded);
        if subject.bytes().len() > LARGE {
            self.hint(
                format!("the file has {} KiB", subject.bytes().len() >> 10),
                "its size is its start-up; in Rust, sdk/README.md says what each line of [profile.release] saves",
            );
        }
    }

    /// What is granted and never asked for.
    fn idle_grants(&mut self, loaded: &Loaded) {
        let wanted = |capability: Capability| loaded.plugin.needs().iter().any(|(needed, _)| *needed == capability);
        let idle = Capability::ALL.into_iter().filter(|capability| capability.is_in(&self.allow) && !wanted(*capability));
        for capability in idle.collect::<Vec<_>>() {
            self.hint(
                format!("`{}` is granted and not imported", capability.interface()),
                "leave it out: what is not granted cannot be misused",
            );
        }
    }

    fn settings(&mut self, subject: &Subject, loaded: &Loaded) {
        let rights = rights(&subject.allow(self.allow.clone(), &[], &[]), &World::default());
        let grant = Grant { rights, ..subject.terms(loaded) };
        // Which upstreams there are is the operator's affair.
        let (found, refused) = match settle(loaded, &self.link, None, None, |_| grant) {
            Ok((_, warnings)) => (warnings, false),
            Err(problems) => (problems, true),
        };
        for found in found {
            let mut problem = told(found);
            if refused && !self.given {
                problem.advice.get_or_insert_with(|| "settings are read from a file, as TOML or JSON: --settings FILE".to_owned());
            }
            if refused { self.problems.push(problem) } else { self.hints.push(problem) }
        }
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        for (word, found) in self.problems.iter().map(|found| ("error", found)).chain(self.hints.iter().map(|found| ("hint", found))) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{word}: {}", found.what);
            for line in found.advice.iter().flat_map(|advice| advice.lines()) {
                let _ = writeln!(out, "  = {line}");
            }
        }
        if self.well() {
            let _ = writeln!(out, "{}: nothing is wrong; in the configuration:\n\n{}", self.file, self.declaration());
        } else {
            let _ = writeln!(out, "{}: {} to solve", self.file, counted(self.problems.len(), "problem"));
        }
        out
    }

    /// What to write to use it.
    fn declaration(&self) -> String {
        let mut text = format!("[plugin.{}]\nsource = {:?}\n", self.name, self.file);
        let allow = granted(&self.allow);
        if !allow.is_empty() {
            let _ = writeln!(text, "allow  = {{ {allow} }}");
        }
        let settings = match self.link.settings.as_object() {
            Some(settings) if !settings.is_empty() => "{ use = \"…\", config = { … } }".replacen('…', &self.name, 1),
            _ => format!("{:?}", self.name),
        };
        let _ = write!(text, "\n# and in a site, a route or a listener:\nchain = [{settings}]");
        text
    }

    pub fn json(&self) -> Value {
        let all = |found: &[Problem]| found.iter().map(|found| json!({ "what": found.what, "advice": found.advice })).collect::<Vec<_>>();
        json!({ "file": self.file, "well": self.well(), "problems": all(&self.problems), "hints": all(&self.hints) })
    }
}

fn told(found: Diagnostic) -> Problem {
    let at = found.place.as_ref().map(|place| format!("{}: ", place.at)).unwrap_or_default();
    let advice: Vec<String> = found.label.into_iter().chain(found.help).collect();
    Problem { what: format!("{at}{}", found.message), advice: (!advice.is_empty()).then(|| advice.join("\n")) }
}

/// As in `allow = { … }`.
fn granted(allow: &Allow) -> String {
    let flags =
        [("log", allow.log), ("clock", allow.clock), ("random", allow.random), ("metrics", allow.metrics), ("tracing", allow.tracing)];
    let mut parts: Vec<String> = flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name} = true")).collect();
    let kv = allow.kv.iter().map(|name| name.0.clone()).collect::<Vec<_>>();
    let http = allow.http.iter().map(|name| name.0.clone()).collect::<Vec<_>>();
    let secret = allow.secret.iter().cloned().collect::<Vec<_>>();
    for (name, names) in [("secret", secret), ("kv", kv), ("http", http)] {
        if !names.is_empty() {
            parts.push(format!("{name} = {names:?}"));
        }
    }
    parts.join(", ")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/guests/raw.wat` with this import.
    fn importing(import: &str) -> Reviewed {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("tests/guests");
        let text = std::fs::read_to_string(guests.join("raw.wat")).expect("readable");
        let bytes = wat::parse_str(text.replace("(;IMPORT;)", import)).unwrap_or_else(|error| panic!("{error}"));
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("raw.wasm");
        std::fs::write(&file, bytes).expect("written");
        check(&file, &[], None).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_newer_plugin_is_told_what_it_needs_and_what_is_there() {
        let text = importing(r#"(import "portcullis:plugin/kv@0.1.1" (instance (export "touch" (func))))"#).text();
        let needs = "needs `touch` of `portcullis:plugin/kv@0.1.1`; this proxy offers 0.1.0, which does not have it";
        assert!(text.contains(needs) && text.contains("= the file is newer than this proxy"), "{text}");
    }

    #[test]
    fn all_that_is_refused_is_told_at_once() {
        let reviewed = importing(
            r#"(import "wasi:http/outgoing-handler@0.2.0" (instance)) (import "my:own/thing" (instance)) (import "hello" (func))"#,
        );
        assert!(!reviewed.well() && reviewed.problems.len() == 3, "{}", reviewed.text());
        assert!(reviewed.text().contains("portcullis_sdk::http"), "{}", reviewed.text());
    }
}
