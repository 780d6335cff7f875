//! Debian packages that the benchmark needs, installed when they are missing.

use super::proxies::{Kind, Proxy};
use super::trouble::Trouble;
use std::path::Path;
use std::process::Command;

const TOOLS: [(&str, &str); 5] =
    [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("openssl", "openssl"), ("taskset", "util-linux"), ("setpriv", "util-linux")];

/// Installs what is missing, as root or through sudo.
pub fn install(proxies: &[Proxy]) -> Result<(), Trouble> {
    let peers = proxies.iter().filter(|proxy| proxy.binary.is_none() && proxy.kind != Kind::Portcullis);
    let wanted = TOOLS.into_iter().chain(peers.map(|proxy| (proxy.kind.name(), proxy.kind.name())));
    let missing: Vec<&str> = wanted.filter(|(program, _)| find(program).is_none()).map(|(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    let manual = || Trouble::Machine(format!("please install: {} (Debian packages)", missing.join(" ")));
    // Lists may be absent (containers) or stale; an old list is worth a try when no mirror can be reached.
    let _ = apt_get(&["-qq", "update"]);
    let installed = apt_get(&[&["-qq", "-y", "--no-install-recommends", "install"], missing.as_slice()].concat());
    if installed { Ok(()) } else { Err(manual()) }
}

fn apt_get(arguments: &[&str]) -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
    if !root {
        command.arg("apt-get");
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // Standard output is for the tables.
    command.stdout(std::io::stderr()).status().is_ok_and(|status| status.success())
}

/// Where a program is: in PATH, or where Debian keeps daemons, which is not in everybody's PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program").is_none());
    }
}
