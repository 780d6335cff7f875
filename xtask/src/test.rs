//! `cargo xtask test`: everything that must be green before a change lands.

use crate::{apt, demo, run, wasm_target};
use std::process::Command;

/// Debian's packages that the end-to-end tests run.
const PROGRAMS: [&str; 23] = [
    "curl",
    "openssl",
    "nghttp2-client",
    "wrk",
    "python3",
    "python3-venv",
    "gcc",
    "procps",
    "redis-server",
    "postgresql",
    "postgresql-client",
    "pebble",
    "docker-registry",
    "apache2-utils",
    "minisign",
    "nodejs",
    "npm",
    "chromium",
    "clang",
    "wasi-libc",
    "caddy",
    "strace",
    "knot",
];

pub fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes nothing; for one test: cargo test --package PACKAGE NAME".to_owned());
    }
    wasm_target::ensure()?;
    programs()?;
    components()?;
    run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
    run::run(run::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    // The end-to-end tests run the binary. Built alone it would have other features of shared crates than the tests have, and
    // wasmtime would be compiled twice.
    run::run(run::cargo().args(["build", "--locked", "--workspace", "--bins", "--tests"]))?;
    let binary = run::root().join("target/debug/portcullis");
    let mut test = run::cargo();
    test.args(["test", "--locked", "--workspace"]).env("PORTCULLIS_BIN", binary);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        test.env("RUST_TEST_THREADS", threads().to_string());
    }
    run::run(&mut test)?;
    let mut doc = run::cargo();
    doc.args(["doc", "--quiet", "--locked", "--no-deps", "--package", "portcullis", "--package", "portcullis-sdk"]);
    run::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    demo::show(true)
}

/// Most of what an end-to-end test takes is waiting: for a time-out to pass, a look-up to be due again, an answer that is slow on purpose.
fn threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// On a machine that is not Debian's, or where we are not root, the tests themselves say what they lack.
fn programs() -> Result<(), String> {
    if !apt::is_debian() || !apt::is_root() {
        return Ok(());
    }
    // Who has Node from its makers has npm with it, and Debian's package does not go with that.
    let npm = run::read(Command::new("npm").arg("--version")).is_ok();
    let wanted: Vec<&str> = PROGRAMS.into_iter().filter(|package| *package != "npm" || !npm).collect();
    apt::install(&wanted)
}

/// A toolchain with rustup's minimal profile has neither.
fn components() -> Result<(), String> {
    for (program, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if run::read(run::cargo().args([program, "--version"])).is_err() {
            run::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}
