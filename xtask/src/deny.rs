//! `cargo xtask deny`: deny.toml against Cargo.lock. A command of its own, because building cargo-deny takes minutes.

use crate::run;
use std::process::Command;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let tools = run::root().join("target/tools");
    let deny = tools.join("bin/cargo-deny");
    if !deny.exists() {
        run::run(run::cargo().args(["install", "--quiet", "--locked", "cargo-deny", "--root"]).arg(&tools))?;
    }
    // Advisories are fetched from a git server that not every machine reaches; the rest is always checked.
    let checks =
        if arguments.is_empty() { vec!["bans".to_owned(), "licenses".to_owned(), "sources".to_owned()] } else { arguments.to_vec() };
    run::run(Command::new(deny).current_dir(run::root()).arg("check").args(checks))
}
