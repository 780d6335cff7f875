//! Builds the bundled plugins for `wasm32-wasip2` and embeds them: a nested cargo with a target directory of its own, so that it
//! neither waits for the outer one's lock nor shares its flags.
//!
//! `PORTCULLIS_BUNDLED=DIR` embeds `DIR/<name>.wasm` instead of building.

#[path = "build/places.rs"]
mod places;
#[path = "build/plugins.rs"]
mod plugins;

use plugins::TARGET;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories under `plugins/`, each with a package `plugin-<name>`.
const PLUGINS: &[&str] = &[
    "basic-auth",
    "body-rewrite",
    "bot-challenge",
    "cache-control",
    "compress",
    "conn-limit",
    "cors",
    "forward-auth",
    "geo-header",
    "headers",
    "ip-filter",
    "jwt",
    "maintenance",
    "rate-limit",
    "redirect",
    "request-id",
    "respond",
    "rewrite",
    "route",
    "security-headers",
];

fn main() {
    if let Err(message) = run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=PORTCULLIS_BUNDLED");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(variable("OUT_DIR")?);
    match env::var_os("PORTCULLIS_BUNDLED") {
        Some(folder) => embed(|plugin| Path::new(&folder).join(format!("{plugin}.wasm")), &out),
        None => {
            let target_dir = build(&out)?;
            embed(|plugin| plugins::built(&target_dir, plugin), &out)
        }
    }
}

/// Runs cargo and says in which target directory.
fn build(out: &Path) -> Result<PathBuf, String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = host.parent().ok_or("host/ is not in a workspace")?;
    for part in ["plugins", "sdk/src", "sdk/abi", "sdk/Cargo.toml", "sdk/macros", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    target_is_there()?;
    let target_dir = own_target_dir(out)?;
    let cargo = variable("CARGO")?;
    for mut build in plugins::build(|| Command::new(&cargo), root, PLUGINS, &target_dir) {
        let output = build.output().map_err(|error| format!("cargo does not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("the bundled plugins do not build\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    Ok(target_dir)
}

/// `<target>/plugins`: whatever is built with the outer cargo, in whichever profile, shares it.
fn own_target_dir(out: &Path) -> Result<PathBuf, String> {
    let target = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map(|folder| folder.join("plugins")).ok_or_else(|| format!("no target directory above {}", out.display()))
}

/// The one thing that a fresh machine lacks, told before cargo tells it less well.
fn target_is_there() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = output.map_err(|error| format!("rustc does not start: {error}"))?.stdout;
    let folder = PathBuf::from(String::from_utf8_lossy(&folder).trim());
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let std = entries.map(|entry| entry.file_name()).any(|name| is_std(&name));
    if std {
        return Ok(());
    }
    Err(format!(
        "the bundled plugins need the target {TARGET}, which this toolchain does not have\nrun: rustup target add {TARGET}   (or, in the repository: cargo xtask setup)"
    ))
}

fn is_std(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

/// Copies the components into `out` and writes `bundled.rs` beside them.
fn embed(file: impl Fn(&str) -> PathBuf, out: &Path) -> Result<(), String> {
    let mut source = String::from("pub(super) static BUNDLED: &[(&str, &[u8])] = &[\n");
    for plugin in PLUGINS {
        let from = file(plugin);
        fs::copy(&from, out.join(format!("{plugin}.wasm"))).map_err(|error| format!("{}: {error}", from.display()))?;
        writeln!(source, "    (\"{plugin}\", include_bytes!(\"{plugin}.wasm\")),").map_err(|error| error.to_string())?;
    }
    source.push_str("];\n");
    fs::write(out.join("bundled.rs"), source).map_err(|error| format!("{}: {error}", out.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("cargo did not set {name}"))
}
