//! `cargo xtask fuzz [SECONDS]`: each target of tests/fuzz for a bounded time, on stable Rust: libFuzzer with LLVM's coverage
//! counters, without the sanitizers that need a nightly compiler.

use crate::{run, wasm_target};
use std::fs;
use std::process::Command;

/// What `cargo fuzz --sanitizer none` passes.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing \
                        -Ccodegen-units=1";
/// Each with folders to begin from beside `seeds/<name>`, if there is one.
const TARGETS: [(&str, &[&str]); 7] = [
    ("config_text", &["host/src/config/golden"]),
    ("request_target", &[]),
    ("request_head", &[]),
    ("proxy_header", &[]),
    ("guest_output", &[]),
    ("client_hello", &[]),
    ("import_text", &[]),
];

pub fn run(arguments: &[String]) -> Result<(), String> {
    let seconds: u32 = match arguments {
        [] => 20,
        [seconds] => seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?,
        _ => return Err("takes a number of seconds".to_owned()),
    };
    wasm_target::ensure()?;
    let (folder, target) = (run::root().join("tests/fuzz"), run::root().join("target/fuzz"));
    let host = run::read(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let mut build = run::cargo();
    // `--target`, so that build scripts and macros are not instrumented.
    build.args(["build", "--quiet", "--release", "--target", &host, "--target-dir"]).arg(&target);
    run::run(build.current_dir(&folder).env("RUSTFLAGS", COVERAGE))?;
    for (name, more) in TARGETS {
        let corpus = target.join("corpus").join(name);
        fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
        let mut fuzz = Command::new(target.join(&host).join("release").join(name));
        fuzz.args([&format!("-max_total_time={seconds}"), "-rss_limit_mb=4096", "-timeout=10", "-verbosity=0", "-print_final_stats=1"]);
        fuzz.arg(format!("-artifact_prefix={}/", target.display())).arg(&corpus);
        let seeds = folder.join("seeds").join(name);
        fuzz.args(seeds.is_dir().then_some(seeds)).args(more.iter().map(|more| run::root().join(more)));
        run::run(&mut fuzz)?;
    }
    Ok(())
}
