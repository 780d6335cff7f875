//! `cargo xtask COMMAND`: everything that takes more than one cargo call. One file per command; this one only finds it.

mod apt;
mod bench;
mod book;
mod bundle;
mod container;
mod demo;
mod deny;
mod differ;
mod dist;
mod fuzz;
mod installed;
mod package;
#[path = "../../host/build/places.rs"]
mod places;
mod polyglot;
mod reproduce;
mod run;
mod setup;
mod shipped;
mod test;
mod testssl;
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
    Command {
        name: "demo",
        usage: "[--once]",
        about: "builds everything and serves https on localhost through a chain of plugins",
        run: demo::run,
    },
    Command {
        name: "test",
        usage: "",
        about: "passes all tests: format, lints, house rules, unit, end to end, documentation",
        run: test::run,
    },
    Command { name: "bench", usage: "[--help]", about: "measures side by side with nginx and HAProxy", run: bench },
    Command { name: "testssl", usage: "", about: "lets testssl.sh look at a TLS site; nothing of MEDIUM or worse", run: testssl::run },
    Command {
        name: "dist",
        usage: "[--trained FILE]",
        about: "builds the proxy as it is shipped: profile-guided; half an hour from nothing, or with a profile that is there",
        run: dist::run,
    },
    Command { name: "fuzz", usage: "[SECONDS]", about: "runs each fuzz target for a while (20 s unless said)", run: fuzz::run },
    Command { name: "deny", usage: "", about: "checks licences, advisories and duplicates of all dependencies", run: deny::run },
    Command {
        name: "polyglot",
        usage: "",
        about: "builds examples/polyglot in every language there, runs their cases, prints what each costs",
        run: polyglot::run,
    },
    Command { name: "setup", usage: "", about: "installs what a build needs: the target wasm32-wasip2", run: setup::run },
    Command {
        name: "wit",
        usage: "[--ship]",
        about: "makes sdk/abi/*.meta anew from wit/; notes what is new there as shipped",
        run: wit::run,
    },
    Command {
        name: "book",
        usage: "[--write|--serve]",
        about: "builds the book into target/book; --write: after its reference pages were made anew",
        run: book::run,
    },
    Command { name: "deb", usage: "[--profile NAME]", about: "builds a Debian package into target/debian", run: package::deb },
    Command {
        name: "installed",
        usage: "[--profile NAME]",
        about: "installs, upgrades and purges that package under systemd, booted in namespaces of its own",
        run: installed::run,
    },
    Command {
        name: "container",
        usage: "[--profile NAME]",
        about: "builds the image portcullis with podman or buildah, from a proxy that is built here",
        run: container::run,
    },
    Command {
        name: "reproduce",
        usage: "[--profile NAME | --trained FILE]",
        about: "builds the last commit in two folders, package and all, and fails unless the bytes are the same",
        run: reproduce::run,
    },
    Command { name: "sbom", usage: "", about: "writes what the proxy is built from, as CycloneDX, into target/sbom", run: package::sbom },
    Command { name: "bundle", usage: "DIR", about: "builds the bundled plugins into DIR, for PORTCULLIS_BUNDLED=DIR", run: bundle::run },
];

fn main() -> ExitCode {
    if let Some(ended) = shipped::as_rustc() {
        return ended;
    }
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

/// It prints its own errors and has three ways to end.
fn bench(arguments: &[String]) -> Result<(), String> {
    let ended = bench::main(arguments);
    if ended == ExitCode::SUCCESS { Ok(()) } else { Err("did not pass".to_owned()) }
}

fn help() {
    eprintln!("cargo xtask COMMAND\n");
    for Command { name, usage, about, .. } in COMMANDS {
        eprintln!("  {:16} {about}", format!("{name} {usage}"));
    }
}
