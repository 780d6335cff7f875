//! Programs that the benchmark needs, installed when they are missing.

use super::options::Options;
use super::proxies::{Kind, Proxy};
use super::trouble::Trouble;
use crate::apt;
use std::path::Path;

const TOOLS: [(&str, &str); 5] =
    [("wrk", "wrk"), ("h2load", "nghttp2-client"), ("openssl", "openssl"), ("taskset", "util-linux"), ("setpriv", "util-linux")];

/// Installs what is missing. A program counts, not its package: peers may be installed by hand.
pub fn install(proxies: &[Proxy]) -> Result<(), Trouble> {
    let peers = proxies.iter().filter(|proxy| proxy.binary.is_none() && proxy.kind != Kind::Portcullis);
    let wanted = TOOLS.into_iter().chain(peers.map(|proxy| (proxy.kind.name(), proxy.kind.name())));
    let missing: Vec<&str> = wanted.filter(|(program, _)| find(program).is_none()).map(|(_, package)| package).collect();
    apt::install(&missing).map_err(Trouble::Machine)
}

/// Debian's stream module of nginx, if it is needed: none of the chosen proxies' binaries goes without.
pub fn install_stream(options: &Options, dir: &Path) -> Result<(), Trouble> {
    let Some(tunnel) = options.scenarios.iter().find(|scenario| scenario.tunnel()) else { return Ok(()) };
    let nginx = options.proxies.iter().filter(|proxy| proxy.kind == Kind::Nginx);
    for _ in nginx.filter(|proxy| proxy.program(Path::new(""), tunnel, dir).is_err()) {
        apt::install(&["nginx", "libnginx-mod-stream"]).map_err(Trouble::Machine)?;
    }
    Ok(())
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
