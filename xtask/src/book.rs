//! `cargo xtask book`: builds docs/ with mdBook into target/book; `--write` makes the pages that are made from the code anew first, `--serve` shows it
//! while it is written. What can be wrong with the book is found by `cargo xtask test`, without mdBook.

use crate::{run, wasm_target};
use std::path::PathBuf;
use std::process::Command;

/// Built from source where it is not there, which takes minutes.
const VERSION: &str = "0.5.4";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let flags: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match flags[..] {
        [] => build("build"),
        ["--write"] => write().and_then(|()| build("build")),
        ["--serve"] => build("serve"),
        _ => Err("takes nothing, --write or --serve".to_owned()),
    }
}

fn build(how: &str) -> Result<(), String> {
    run::run(Command::new(mdbook()?).arg(how).arg(run::root().join("docs")))?;
    println!("{}", run::root().join("target/book/index.html").display());
    Ok(())
}

/// The test that holds the pages to the code makes them, so that xtask itself needs to know nothing of either.
fn write() -> Result<(), String> {
    wasm_target::ensure()?;
    run::run(run::cargo().args(["build", "--locked", "--workspace", "--bins"]))?;
    let mut test = run::cargo();
    test.args(["test", "--locked", "--workspace", "--test", "book", "--", "reference::"]);
    run::run(test.env("PORTCULLIS_WRITE", "1").env("PORTCULLIS_BIN", run::root().join("target/debug/portcullis")))
}

/// The one on the PATH, whatever its version, or our own.
fn mdbook() -> Result<PathBuf, String> {
    if run::read(Command::new("mdbook").arg("--version")).is_ok() {
        return Ok("mdbook".into());
    }
    let tools = run::root().join("target/tools");
    let own = tools.join("bin/mdbook");
    if !own.exists() {
        run::run(run::cargo().args(["install", "--locked", "mdbook", "--version", VERSION, "--root"]).arg(&tools))?;
    }
    Ok(own)
}
