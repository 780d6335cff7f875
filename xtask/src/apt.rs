//! Debian packages: installs what is missing, if it may.

use crate::run::{read, run};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the lists of packages are fresh; once is enough.
static UPDATED: AtomicBool = AtomicBool::new(false);

/// Installs those of `packages` that are missing.
///
/// # Errors
/// If some are missing and this is no Debian or we are not root (the message says what to run), or if apt fails.
pub fn install(packages: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian() || !is_root() {
        return Err(format!("missing packages; run: sudo apt-get install {}", missing.join(" ")));
    }
    if !UPDATED.swap(true, Ordering::Relaxed) {
        // Lists may be absent (containers) or stale; an old list is worth a try when no mirror can be reached.
        let _ = run(apt().args(["-qq", "update"]));
    }
    run(apt().args(["-qq", "install", "--yes", "--no-install-recommends"]).args(missing))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    // Standard output is for what was asked of us.
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    apt
}

fn is_installed(package: &str) -> bool {
    read(Command::new("dpkg-query").args(["--show", "--showformat=${Status}", package])).is_ok_and(|status| status.ends_with(" installed"))
}

pub fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

pub fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}
