//! `portcullis plugin …`: one file per command.

mod bench;
mod check;
mod explain;
mod fetch;
mod inspect;
mod new;
mod push;
mod test;

use serde_json::Value;
use std::fmt::Display;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Plugin {
    /// Make a crate for a plugin of your own, with a test and cases
    New(new::New),
    /// Show what a component is and may do, without letting it see a request
    Inspect(inspect::Inspect),
    /// Say everything that would refuse a component or its settings, and what to do about it
    Check(check::Check),
    /// Run cases against a component, in the real sandbox: requests and what it is to decide
    Test(test::Test),
    /// Measure what a component costs: per call, to load, to keep
    Bench(bench::Bench),
    /// Send a made-up request through the chain of its route; no upstream is contacted
    Explain(explain::Explain),
    /// Fetch a component from a registry, with its signature, and say under which digest it can be named in a configuration
    Fetch(fetch::Fetch),
    /// Send a component to a registry, with the signature in FILE.minisig if there is one
    Push(push::Push),
}

impl Plugin {
    pub fn execute(self) -> ExitCode {
        match self {
            Self::New(command) => command.execute(),
            Self::Inspect(command) => command.execute(),
            Self::Check(command) => command.execute(),
            Self::Test(command) => command.execute(),
            Self::Bench(command) => command.execute(),
            Self::Explain(command) => command.execute(),
            Self::Fetch(command) => command.execute(),
            Self::Push(command) => command.execute(),
        }
    }
}

/// Prints an answer in one form or the other; the exit code says whether all is `well`.
fn answer(as_json: bool, json: impl FnOnce() -> Value, text: impl FnOnce() -> String, well: bool) -> ExitCode {
    if as_json {
        super::say(&format!("{:#}", json()), "\n");
    } else {
        super::say(&text(), "");
    }
    super::exit(well)
}

/// A text, or why there is none.
fn answered(said: Result<String, impl Display>) -> ExitCode {
    match said {
        Ok(text) => {
            super::say(&text, "");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// There is no answer.
fn failed(error: &impl Display) -> ExitCode {
    // What is wrong with a file says itself that it is an error.
    let error = error.to_string();
    eprintln!("{}{error}", if error.starts_with("error") { "" } else { "error: " });
    ExitCode::FAILURE
}

/// As clap says that arguments are wrong.
fn misused(what: &impl Display) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(2)
}
