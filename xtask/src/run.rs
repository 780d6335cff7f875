//! Running other programs: says what it runs, and in errors what failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ is in the repository").to_path_buf()
}

/// The cargo that runs us, in the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a program with our own output.
///
/// # Errors
/// If it does not start or does not succeed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let line = line(command);
    eprintln!("+ {line}");
    let status = command.status().map_err(|error| format!("`{line}` does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}`: {status}")) }
}

/// Runs a program and returns what it prints, as text without white space at its ends.
///
/// # Errors
/// If it does not start or does not succeed; with what it wrote to stderr.
pub fn read(command: &mut Command) -> Result<String, String> {
    let line = line(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("`{line}` does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{line}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a program, and ends it if it takes too long.
///
/// # Errors
/// As `run`, and if the time is up.
pub fn run_within(limit: Duration, command: &mut Command) -> Result<(), String> {
    let line = line(command);
    eprintln!("+ {line}");
    let mut child = command.spawn().map_err(|error| format!("`{line}` does not start: {error}"))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(|error| format!("`{line}`: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("`{line}`: {status}")),
            None if Instant::now() >= deadline => {
                // It may end by itself between the two calls.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{line}`: no end after {} s", limit.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// A program of cargo's world: the one on the PATH, whatever its version, or our own of this version, built from source where it is not there.
///
/// # Errors
/// If it cannot be built.
pub fn tool(name: &str, version: &str) -> Result<PathBuf, String> {
    if read(Command::new(name).arg("--version")).is_ok() {
        return Ok(name.into());
    }
    let tools = root().join("target/tools").join(format!("{name}-{version}"));
    let own = tools.join("bin").join(name);
    if !own.exists() {
        run(cargo().args(["install", "--locked", name, "--version", version, "--root"]).arg(&tools))?;
    }
    Ok(own)
}

/// As a shell would have it, near enough to be copied.
fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_command() {
        let error = run(Command::new("false").arg("x")).expect_err("fails");
        assert!(error.contains("`false x`"), "{error}");
        let error = read(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).expect_err("fails");
        assert!(error.contains("why") && error.contains('3'), "{error}");
        assert!(run(&mut Command::new("no-such-program")).expect_err("fails").contains("does not start"));
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let error = run_within(Duration::from_millis(150), Command::new("sleep").arg("60")).expect_err("ended");
        assert!(error.contains("no end"), "{error}");
        assert_eq!(run_within(Duration::from_secs(60), &mut Command::new("true")), Ok(()));
    }
}
