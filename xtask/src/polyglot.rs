//! `cargo xtask polyglot`: builds the filter of `examples/polyglot` in every language there, runs its cases, and prints what each costs.
//!
//! Fetches compilers from PyPI and npm into `target/polyglot`, and Debian's packages where it may.

use crate::{apt, run};
use std::path::Path;
use std::process::Command;

const PACKAGES: [&str; 6] = ["clang", "wasi-libc", "python3", "python3-venv", "nodejs", "npm"];

struct Language {
    name: &'static str,
    /// Below `examples/polyglot`, with a `build.sh`.
    folder: &'static str,
    /// What follows the output's name.
    variant: Option<&'static str>,
}

const LANGUAGES: [Language; 4] = [
    Language { name: "C (clang)", folder: "c", variant: None },
    Language { name: "JavaScript (QuickJS)", folder: "javascript", variant: Some("quickjs") },
    Language { name: "JavaScript (StarlingMonkey)", folder: "javascript", variant: Some("starlingmonkey") },
    Language { name: "Python (CPython)", folder: "python", variant: None },
];

pub fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes nothing".to_owned());
    }
    if apt::is_debian() && apt::is_root() {
        // Node may have come from elsewhere; its own packages would stand in each other's way then.
        let there = |program: &str| run::read(Command::new(program).arg("--version")).is_ok();
        let wanted: Vec<&str> = PACKAGES.into_iter().filter(|package| !matches!(*package, "nodejs" | "npm") || !there("npm")).collect();
        apt::install(&wanted)?;
    }
    run::run(run::cargo().args(["build", "--release", "--locked", "--package", "portcullis"]))?;
    let portcullis = run::root().join("target/release/portcullis");
    let cache = run::root().join("target/polyglot");
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let mut rows = Vec::new();
    for language in &LANGUAGES {
        rows.push(measure(language, &portcullis, &cache)?);
    }
    println!("| language | file | compiled | load, anew / from the cache | memory, touched | call, reused guest | call, fresh guest |");
    println!("|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

/// Builds, tests and measures one; its row.
fn measure(language: &Language, portcullis: &Path, cache: &Path) -> Result<String, String> {
    let folder = run::root().join("examples/polyglot");
    let file = cache.join(format!("{}.wasm", language.variant.unwrap_or(language.folder)));
    let mut build = Command::new(folder.join(language.folder).join("build.sh"));
    run::run(build.arg(&file).args(language.variant).env("POLYGLOT", cache))?;
    let cases = folder.join("cases.toml");
    run::run(Command::new(portcullis).args(["plugin", "test"]).args([&file, &cases]))?;
    let benched = run::read(Command::new(portcullis).args(["plugin", "bench"]).arg(&file).arg("--cases").arg(&cases).arg("--json"))?;
    let number = |key: &str, at: usize| numbers(&benched, key).get(at).copied().ok_or_else(|| format!("plugin bench: no {key}"));
    // The load's two come first, then two for each case.
    let call = |at: usize| number("median_ns", 2 + at).map(|ns| format!("{:.1} µs", ns / 1e3));
    let kib =
        |bytes: f64| if bytes >= 1e6 { format!("{:.1} MiB", bytes / f64::from(1 << 20)) } else { format!("{:.0} KiB", bytes / 1024.0) };
    let ms = |ns: f64| format!("{:.1} ms", ns / 1e6);
    Ok(format!(
        "| {} | {} | {} | {} / {} | {}, {} | {} | {} |",
        language.name,
        kib(number("size", 0)?),
        kib(number("compiled", 0)?),
        ms(number("median_ns", 0)?),
        ms(number("median_ns", 1)?),
        kib(number("memory", 0)?),
        kib(number("touched", 0)?),
        call(0)?,
        call(1)?,
    ))
}

/// The numbers under this key, in their order. No JSON crate: xtask is kept light, and this JSON is our own.
fn numbers(json: &str, key: &str) -> Vec<f64> {
    let key = format!("\"{key}\": ");
    json.split(&key).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_their_order() {
        let json = "{ \"load\": { \"cold\": { \"median_ns\": 12 }, \"warm\": { \"median_ns\": 3 } }, \"size\": 7 }";
        assert_eq!((numbers(json, "median_ns"), numbers(json, "size"), numbers(json, "none")), (vec![12.0, 3.0], vec![7.0], vec![]));
    }
}
