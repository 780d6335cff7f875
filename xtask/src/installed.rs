//! `cargo xtask installed`: what an operator does with the Debian package, done under Debian's own systemd, which is booted in namespaces of its own over
//! a copy of this machine that forgets everything: install, reload, upgrade while clients ask, watchdog, systemd's sockets, remove, purge.

use crate::{apt, package, run};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BOOT: &str = include_str!("installed/boot.sh");
const INSIDE: &str = include_str!("installed/inside.py");

pub fn run(arguments: &[String]) -> Result<(), String> {
    if !apt::is_debian() || !apt::is_root() {
        return Err("needs root on a Debian: it boots systemd in namespaces".to_owned());
    }
    apt::install(&["systemd", "curl", "python3", "iproute2", "util-linux", "procps"])?;
    let folder = run::root().join("target/installed");
    let _earlier = fs::remove_dir_all(&folder);
    for part in ["machine", "packages"] {
        fs::create_dir_all(folder.join(part)).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::write(folder.join("packages/inside.py"), INSIDE).map_err(|error| format!("{}: {error}", folder.display()))?;
    package::staged(arguments)?;
    for revision in ["1", "2"] {
        package::pack(revision, &folder.join("packages").join(format!("{revision}.deb")))?;
    }
    let machine = Machine::boot(&folder)?;
    println!("The package, under systemd:");
    run::run(machine.command().args(["python3", "/tmp/packages/inside.py", "/tmp/packages/1.deb", "/tmp/packages/2.deb"]))
}

/// A running systemd, and all that it started; ends with us.
struct Machine {
    unshare: Child,
    /// systemd, as seen from here.
    init: u32,
}

impl Machine {
    fn boot(folder: &Path) -> Result<Self, String> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net", "--fork", "--kill-child", "sh", "-c", BOOT, "boot.sh"]);
        unshare.args([folder.join("machine"), folder.join("packages")]).stdin(Stdio::null()).stdout(Stdio::null());
        let unshare = unshare.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut machine = Self { unshare, init: 0 };
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(Some(status)) = machine.unshare.try_wait() {
                return Err(format!("systemd does not boot here: {status}"));
            }
            machine.init = child_of(machine.unshare.id()).unwrap_or_default();
            let up = machine.init > 0
                && run::read(machine.command().args(["systemctl", "is-system-running"])).is_ok_and(|state| state == "running");
            if up {
                return Ok(machine);
            }
            if Instant::now() >= deadline {
                return Err("systemd is not up after 60 s".to_owned());
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Something that runs there.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--root", "--wd", "--target", &self.init.to_string()]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its child is killed with it, and all of that process's namespace with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn child_of(parent: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?.split_whitespace().next()?.parse().ok()
}
