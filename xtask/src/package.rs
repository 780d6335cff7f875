//! `cargo xtask deb` and `cargo xtask sbom`: what is handed to those who install. Both with cargo's own tools for it, built from source where they are not
//! there.

use crate::{run, shipped, wasm_target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CARGO_DEB: &str = "3.8.0";
/// As host/Cargo.toml has it.
const MAINTAINER: &str = "The Portcullis developers <portcullis@example.com>";
const CARGO_CYCLONEDX: &str = "0.5.9";

/// Builds the proxy (`--profile NAME`; `dist` unless said) and packs it, with its manual pages and completion scripts, into target/debian.
pub fn deb(arguments: &[String]) -> Result<(), String> {
    staged(arguments)?;
    run::run(&mut packing()?)
}

/// Builds what is packed, as `deb` does.
pub fn staged(arguments: &[String]) -> Result<(), String> {
    stage(&proxy(arguments)?, &run::root().join("target/package"))
}

/// Packs what was staged as this revision.
pub fn pack(revision: &str, place: &Path) -> Result<(), String> {
    run::run(packing()?.args(["--fast", "--deb-revision", revision, "--output"]).arg(place))
}

fn packing() -> Result<Command, String> {
    // What is packed is what was staged, whatever profile it is of.
    let mut pack = Command::new(cargo_deb()?);
    pack.args(["--no-build", "--no-strip", "--package", "portcullis"]).current_dir(run::root());
    pack.env("SOURCE_DATE_EPOCH", shipped::time()?);
    Ok(pack)
}

/// What packs.
pub fn cargo_deb() -> Result<PathBuf, String> {
    run::tool("cargo-deb", CARGO_DEB)
}

/// Builds the proxy that is to be packed, by `--profile NAME` or else `dist`, and says where it is.
pub fn proxy(arguments: &[String]) -> Result<PathBuf, String> {
    let profile = match arguments {
        [] => "dist",
        [flag, profile] if flag == "--profile" => profile,
        _ => return Err("takes nothing, or --profile NAME".to_owned()),
    };
    wasm_target::ensure()?;
    let flags: Vec<String> = std::env::var("RUSTFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    shipped::build(profile, &run::root().join("target"), &flags)
}

/// Everything that is made from the binary; `assets` of host/Cargo.toml names it.
fn stage(built: &Path, staged: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", staged.display());
    let _earlier = fs::remove_dir_all(staged);
    for folder in ["man", "completions"] {
        fs::create_dir_all(staged.join(folder)).map_err(failed)?;
    }
    fs::copy(built, staged.join("portcullis")).map_err(failed)?;
    run::run(Command::new(built).args(["man", "--out"]).arg(staged.join("man")))?;
    for (shell, file) in [("bash", "portcullis"), ("zsh", "_portcullis"), ("fish", "portcullis.fish")] {
        let script = run::read(Command::new(built).args(["completions", shell]))?;
        fs::write(staged.join("completions").join(file), script + "\n").map_err(failed)?;
    }
    fs::write(staged.join("changelog"), changelog()?).map_err(failed)
}

/// Debian's own of this package, which it wants beside ours. Of the time of the last commit, so that the same commit makes the same package.
fn changelog() -> Result<String, String> {
    let time = run::read(Command::new("git").args(["log", "-1", "--format=%cD"]).current_dir(run::root()))?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("portcullis ({version}-1) unstable; urgency=medium\n\n  * Release {version}.\n\n -- {MAINTAINER}  {time}\n"))
}

/// Writes target/sbom/portcullis.cdx.json: everything that the proxy is built from, by name, version, licence and checksum.
pub fn sbom(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes nothing".to_owned());
    }
    let folder = run::root().join("target/sbom");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut cyclonedx = Command::new(run::tool("cargo-cyclonedx", CARGO_CYCLONEDX)?);
    cyclonedx.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", "portcullis.cdx", "--manifest-path"]);
    run::run(cyclonedx.arg(run::root().join("host/Cargo.toml")))?;
    let made = run::root().join("host/portcullis.cdx.json");
    let place = folder.join("portcullis.cdx.json");
    fs::rename(&made, &place).map_err(|error| format!("{}: {error}", made.display()))?;
    println!("{}", place.display());
    Ok(())
}
