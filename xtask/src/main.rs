//! `cargo xtask COMMAND`: everything that takes more than one cargo call. One file per command; this one only finds it.

mod apt;
mod bundle;
mod run;
mod setup;
mod wasm_target;
mod wit;

use std::process::ExitCode;

/// A command, found by its name.
struct Command {
    name: &'static str,
    /// What follows the name, and what it does, for the help.
    usage: &'static str,
    about: &'static str,
    /// Gets what follows the name; an error is printed as it is.
    run: fn(&[String]) -> Result<(), String>,
}

/// In the order of the help.
const COMMANDS: &[Command] = &[
    Command { name: "setup", usage: "", about: "installs what a build needs: the target wasm32-wasip2", run: setup::run },
    Command { name: "wit", usage: "", about: "makes sdk/abi/*.meta anew from wit/", run: wit::run },
    Command { name: "bundle", usage: "DIR", about: "builds the bundled plugins into DIR, for PORTCULLIS_BUNDLED=DIR", run: bundle::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        help();
        return ExitCode::FAILURE;
    };
    if ["help", "--help", "-h"].contains(&&**name) {
        help();
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("xtask: no command `{name}`\n");
        help();
        return ExitCode::FAILURE;
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn help() {
    eprintln!("cargo xtask COMMAND\n");
    for Command { name, usage, about, .. } in COMMANDS {
        eprintln!("  {:16} {about}", format!("{name} {usage}"));
    }
}
