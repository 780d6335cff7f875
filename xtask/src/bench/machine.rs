//! The machine that the figures are of.

use std::fs;
use std::process::Command;

/// One line: processor, cores, kernel, distribution.
pub fn describe() -> String {
    let model = value("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    // Not what this process may use: it is pinned.
    let cores = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = value("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}, {}", kernel.trim(), system.trim_matches('"'))
}

fn value(file: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim_start().strip_prefix(separator)?.trim().to_owned())
}

/// Keeps this process off the proxy's core. What it starts is pinned by itself.
pub fn stay_on(core: u32) {
    // Where that is not allowed, runs only become a little noisier.
    let _ = Command::new("taskset").args(["-cp", &core.to_string(), &std::process::id().to_string()]).output();
}
