//! Processes that the benchmark starts: pinned to a core, ended with it, whatever ends it.
//!
//! `setpriv --pdeathsig` has the kernel end a child when the harness dies of a signal; `Drop` ends it otherwise.

use super::trouble::Trouble;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A running child. Dropping it ends it.
pub struct Process {
    child: Child,
    stopped: bool,
}

/// A command that will run on one core, with as many open files as the machine lets it have, its output in `log` in `dir`.
///
/// Must be spawned by the main thread: the kernel sends the death signal when the thread that started the child ends.
pub fn pinned(core: u32, program: impl AsRef<OsStr>, dir: &Path, log: &str) -> Result<Command, Trouble> {
    let out = File::create(dir.join(log))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "sh", "-c", "ulimit -n \"$(ulimit -Hn)\"; exec taskset -c \"$0\" \"$@\""]);
    command.arg(core.to_string()).arg(program);
    command.current_dir(dir).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
    Ok(command)
}

impl Process {
    pub fn start(mut command: Command) -> Result<Self, Trouble> {
        let child = command.spawn().map_err(|error| Trouble::Machine(format!("{command:?}: {error}")))?;
        Ok(Self { child, stopped: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; kills it when that takes longer than `most`.
    pub fn finish(mut self, most: Duration) -> Result<ExitStatus, Trouble> {
        self.wait(most)?.ok_or_else(|| Trouble::Load(format!("still running after {} s", most.as_secs())))
    }

    /// Takes it off its core until [`Self::resume`]: a proxy that waits for its turn must not disturb the one being measured.
    pub fn suspend(&mut self) {
        self.stopped = true;
        signal(self.pid(), libc::SIGSTOP);
    }

    pub fn resume(&mut self) {
        if std::mem::take(&mut self.stopped) {
            signal(self.pid(), libc::SIGCONT);
        }
    }

    /// Asks it to end (a proxy writes its caches), then makes it.
    pub fn stop(&mut self) {
        self.resume();
        if self.alive() {
            signal(self.pid(), libc::SIGTERM);
        }
        if !matches!(self.wait(Duration::from_secs(3)), Ok(Some(_))) {
            self.kill();
        }
    }

    fn wait(&mut self, most: Duration) -> Result<Option<ExitStatus>, Trouble> {
        let until = Instant::now() + most;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(2));
        }
        Ok(None)
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std; the pid is our own child's, not yet reaped")]
fn signal(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: no memory is passed.
        unsafe { libc::kill(pid, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_too_long_is_ended() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start(command).expect("starts");
        let pid = process.pid();
        assert!(matches!(process.finish(Duration::from_millis(20)), Err(Trouble::Load(_))));
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_suspended_child_can_be_stopped() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut process = Process::start(command).expect("starts");
        process.suspend();
        process.stop();
        assert!(!process.alive());
    }
}
