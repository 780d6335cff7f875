//! `cargo xtask dist`: the proxy as it is shipped, compiled for the way it is used (profile-guided): an instrumented build is put through
//! the benchmark's own scenarios, and what it counted guides the second build. What has not changed is not done again; from
//! nothing it takes half an hour on two cores.

use crate::{run, shipped, wasm_target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the profile is taken from: each corridor, with and without TLS and filters.
const TRAINING: &str = "h1-plain,h1-tls,h2-tls,filter-1,filter-5,routes-10";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let shipped = match arguments {
        [] => build()?,
        [flag, profile] if flag == "--trained" => wasm_target::ensure().and_then(|()| guided(Path::new(profile)))?,
        _ => return Err("takes nothing, or --trained FILE".to_owned()),
    };
    println!("{}", shipped.display());
    Ok(())
}

/// Builds it and says where it is.
///
/// # Errors
/// If a build fails, or `llvm-profdata`, which comes with rustup's component `llvm-tools`, cannot be had.
pub fn build() -> Result<PathBuf, String> {
    wasm_target::ensure()?;
    let host = run::read(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let profdata = profdata(&host)?;
    let target = run::root().join("target");
    let (counts, profile) = (target.join("trained/counts"), target.join("trained/portcullis.profdata"));
    let trained = shipped::build("dist", &target.join("trained"), &[format!("-Cprofile-generate={}", counts.display())])?;
    if is_newer(&trained, &profile) {
        train(&trained, &counts)?;
        run::run(Command::new(profdata).args(["merge", "-o"]).arg(&profile).arg(&counts))?;
    }
    guided(&profile)
}

/// The second build. What was counted is never the same twice; what is built by the same counts is (`cargo xtask reproduce --trained FILE`).
fn guided(profile: &Path) -> Result<PathBuf, String> {
    let target = run::root().join("target");
    // Named by what is in it: of dependencies, cargo looks at flags only, and would leave them as an earlier profile made them.
    let named = target.join("trained").join(format!("{}.profdata", shipped::sha256(profile)?));
    if !named.exists() {
        let copied = fs::create_dir_all(target.join("trained")).and_then(|()| fs::copy(profile, &named));
        copied.map_err(|error| format!("{} to {}: {error}", profile.display(), named.display()))?;
    }
    let built = shipped::build("dist", &target.join("shipped"), &[format!("-Cprofile-use={}", named.display())])?;
    let shipped = target.join("shipped/portcullis");
    fs::copy(&built, &shipped).map_err(|error| format!("{}: {error}", shipped.display()))?;
    Ok(shipped)
}

fn profdata(host: &str) -> Result<PathBuf, String> {
    let sysroot = run::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let tool = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !tool.exists() {
        run::run(Command::new("rustup").args(["component", "add", "llvm-tools"]))
            .map_err(|error| format!("{error}\n`cargo build --profile dist` builds without a profile"))?;
    }
    Ok(tool)
}

/// Puts the instrumented binary through the benchmark; it writes its counts when it is told to stop.
fn train(binary: &Path, counts: &Path) -> Result<(), String> {
    if counts.exists() {
        fs::remove_dir_all(counts).map_err(|error| format!("{}: {error}", counts.display()))?;
    }
    let ourselves = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut bench = Command::new(ourselves);
    bench.args(["bench", "--scenarios", TRAINING, "--seconds", "3", "--rounds", "1", "--proxies", "portcullis", "--peer-bin"]);
    bench.arg(format!("portcullis={}", binary.display())).stdout(std::io::stderr());
    run::run(&mut bench)
}

/// Whether `made` must be followed by a new `after`.
fn is_newer(made: &Path, after: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    time(after).is_none_or(|after| time(made).is_none_or(|made| made > after))
}
