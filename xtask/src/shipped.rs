//! The build of what is shipped, whoever packs it: the same commit makes the same bytes in every folder (`cargo xtask reproduce`).

use crate::{places, run};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// For us as cargo's `RUSTC_WRAPPER`: the flags that rename folders.
const PLACES: &str = "PORTCULLIS_RENAMED_PLACES";
const BETWEEN: &str = "\u{1f}";

/// Builds the proxy into `target`, with `flags` for rustc, and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build(profile: &str, target: &Path, flags: &[String]) -> Result<PathBuf, String> {
    let host = run::read(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let ourselves = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut cargo = run::cargo();
    // `--target`, so that build scripts and macros are compiled without `flags`, and nothing that a plain `cargo build` made is built anew.
    cargo.args(["build", "--locked", "--profile", profile, "--package", "portcullis", "--target", &host, "--target-dir"]).arg(target);
    // mimalloc says when it was compiled. Not the time of the commit: what was compiled at an earlier one would have another.
    cargo.env("SOURCE_DATE_EPOCH", "0");
    cargo.env("RUSTC_WRAPPER", ourselves).env(PLACES, places::flags(&run::root()).join(BETWEEN));
    run::run(cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join(BETWEEN)))?;
    Ok(target.join(host).join(if profile == "dev" { "debug" } else { profile }).join("portcullis"))
}

/// If cargo has called us instead of rustc: goes on as rustc, with folders renamed. Flags for cargo do not get to build scripts and what they are
/// built from, whose own folders stand in what they write: in comments of Cranelift's, so that all that is compiled after them lies elsewhere.
pub fn as_rustc() -> Option<ExitCode> {
    let flags = env::var_os(PLACES)?;
    let mut words = env::args_os().skip(1);
    let rustc = words.next()?;
    let error = renamed(&rustc, &flags, words).exec();
    eprintln!("xtask as a wrapper of {}: {error}", rustc.display());
    Some(ExitCode::FAILURE)
}

/// First the flags: those that cargo gives are narrower, and rustc takes the last that fits.
fn renamed(rustc: &OsStr, flags: &OsStr, words: impl Iterator<Item = OsString>) -> Command {
    let mut command = Command::new(rustc);
    command.args(flags.to_string_lossy().split(BETWEEN).filter(|flag| !flag.is_empty())).args(words);
    command
}

/// What archives have as the time of their files, in seconds since 1970: of the last commit, unless `SOURCE_DATE_EPOCH` says otherwise.
///
/// # Errors
/// If this is no repository of git.
pub fn time() -> Result<String, String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(time) => Ok(time),
        Err(_) => run::read(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(run::root())),
    }
}

/// Of a file, in hexadecimal.
///
/// # Errors
/// If it cannot be read.
pub fn sha256(file: &Path) -> Result<String, String> {
    let line = run::read(Command::new("sha256sum").arg("--binary").arg(file))?;
    // A backslash comes first where the name of the file has to be escaped.
    line.split_whitespace().next().map(|sum| sum.trim_start_matches('\\').to_owned()).ok_or_else(|| format!("sha256sum says `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_comes_last() {
        let words = ["--crate-name", "x", "--remap-path-prefix=/a/b=/c"].map(OsString::from);
        let command = renamed(
            OsStr::new("rustc"),
            OsStr::new("--remap-path-prefix=/a=/portcullis\u{1f}--remap-path-prefix=/b=/cargo"),
            words.into_iter(),
        );
        let said: Vec<_> = command.get_args().collect();
        assert_eq!(said[..3], ["--remap-path-prefix=/a=/portcullis", "--remap-path-prefix=/b=/cargo", "--crate-name"]);
        assert_eq!((command.get_program(), said.last()), (OsStr::new("rustc"), Some(&OsStr::new("--remap-path-prefix=/a/b=/c"))));
    }

    #[test]
    fn a_sum_is_of_what_is_in_the_file() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(Path::new("/dev/null")).as_deref(), Ok(empty));
        assert!(sha256(Path::new("/no/such/file")).is_err());
    }
}
