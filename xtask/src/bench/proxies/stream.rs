//! nginx's stream module: whether a binary has it, or where it can be loaded from.
//!
//! Debian has it as a package of its own, and a module only goes with the nginx that it was built for.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a binary looks for modules that it was built to load. `None`: it was not built so, or does not say.
fn modules(binary: &Path) -> Option<PathBuf> {
    // It says so on standard error.
    let told = Command::new(binary).arg("-V").output().ok()?.stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    let folder = told.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="))?;
    Some(folder.into())
}

/// What the configuration of a binary must begin with to have `stream`; `None`: it cannot have it.
pub fn prelude(binary: &Path, dir: &Path) -> Option<String> {
    let module = modules(binary).map(|folder| folder.join("ngx_stream_module.so")).filter(|file| file.is_file());
    let candidates = [Some(String::new()), module.map(|file| format!("load_module {};\n", file.display()))];
    candidates.into_iter().flatten().find(|prelude| accepts(binary, prelude, dir))
}

fn accepts(binary: &Path, prelude: &str, dir: &Path) -> bool {
    let (file, pid, log) = (dir.join("stream.conf"), dir.join("stream.pid"), dir.join("stream.log"));
    let text = format!("{prelude}pid {}; error_log {};\nevents {{}}\nstream {{}}\n", pid.display(), log.display());
    let arguments: [&OsStr; 7] = ["-t".as_ref(), "-c".as_ref(), file.as_ref(), "-p".as_ref(), dir.as_ref(), "-e".as_ref(), log.as_ref()];
    fs::write(&file, text).is_ok() && Command::new(binary).args(arguments).output().is_ok_and(|output| output.status.success())
}
