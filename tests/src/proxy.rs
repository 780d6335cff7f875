//! The binary, started on a configuration, ended with the test.

use crate::{compiled, tools};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running proxy in a directory of its own (`portcullis.toml`, `state/`).
pub struct Proxy {
    child: Child,
    output: Arc<(Mutex<Lines>, Condvar)>,
    pub dir: TempDir,
}

#[derive(Default)]
struct Lines {
    stderr: Vec<String>,
    stdout: Vec<String>,
}

impl Proxy {
    /// Starts on this text and waits until it is ready. `[server]` and `[listen]` are put in front unless the text has them.
    pub fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), config)
    }

    /// As `start`, in a directory that already holds certificates, plugins or pages.
    pub fn start_in(dir: TempDir, config: &str) -> Self {
        Self::start_with(dir, config, &[], &[])
    }

    /// As `start_in`, with more arguments and environment variables.
    pub fn start_with(dir: TempDir, config: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        std::fs::write(dir.path().join("portcullis.toml"), complete(config)).expect("written");
        let mut command = command(dir.path(), &[&["run", "portcullis.toml"], arguments].concat());
        command.envs(environment.iter().copied());
        Self::start_as(dir, command)
    }

    /// The proxy as this command starts it in `dir`, where its configuration stands.
    pub fn start_as(dir: TempDir, mut command: Command) -> Self {
        compiled::lend(dir.path());
        at_home(&mut command, dir.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let output = Arc::new((Mutex::new(Lines::default()), Condvar::new()));
        collect(child.stderr.take().expect("piped"), output.clone(), |lines| &mut lines.stderr);
        collect(child.stdout.take().expect("piped"), output.clone(), |lines| &mut lines.stdout);
        let mut proxy = Self { child, output, dir };
        proxy.wait_ready();
        proxy
    }

    fn wait_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.log().contains("ready") {
            if let Some(status) = self.child.try_wait().expect("waitable") {
                panic!("the proxy ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready:\n{}", self.log());
            self.wait_for_output(Duration::from_millis(100));
        }
    }

    fn wait_for_output(&self, most: Duration) {
        let (lines, changed) = &*self.output;
        let guard = lines.lock().expect("not poisoned");
        drop(changed.wait_timeout(guard, most).expect("not poisoned"));
    }

    /// Everything it wrote to standard error.
    pub fn log(&self) -> String {
        self.output.0.lock().expect("not poisoned").stderr.join("\n")
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<String> {
        self.output.0.lock().expect("not poisoned").stdout.clone()
    }

    /// Waits until a line of the access log satisfies `wanted`.
    pub fn access_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_until("access line", |proxy| proxy.access_log().into_iter().find(|line| wanted(line)))
    }

    /// Waits until the log has this text.
    pub fn logged(&self, text: &str) -> String {
        self.wait_until(text, |proxy| proxy.log().lines().find(|line| line.contains(text)).map(str::to_owned))
    }

    fn wait_until<T>(&self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "no {what} in:\n{}\n{}", self.access_log().join("\n"), self.log());
            self.wait_for_output(Duration::from_millis(50));
        }
    }

    /// The first plain listener.
    pub fn http(&self) -> SocketAddr {
        self.listening("http")
    }

    /// The first TLS listener.
    pub fn https(&self) -> SocketAddr {
        self.listening("https")
    }

    /// The first TCP listener.
    pub fn tcp(&self) -> SocketAddr {
        self.listening("tcp")
    }

    /// The first address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.listening("admin")
    }

    fn listening(&self, protocol: &str) -> SocketAddr {
        let log = self.log();
        let mut words = log.lines().filter_map(|line| line.split_once(&format!("listening {protocol} "))).map(|(_, rest)| rest);
        let address = words.next().unwrap_or_else(|| panic!("no {protocol} listener in:\n{log}"));
        address.split_whitespace().next().expect("an address").parse().expect("an address")
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("the proxy runs");
        let pages: usize = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
        pages * 4096
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and returns at once.
    pub fn terminate(&self) {
        signal(self.pid(), libc::SIGTERM);
    }

    /// Waits for the end; the exit code, `None` if a signal ended it or it is still there after `most`.
    pub fn wait(&mut self, most: Duration) -> Option<i32> {
        let deadline = Instant::now() + most;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("waitable") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().expect("waitable").is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        compiled::keep(self.dir.path());
        if std::thread::panicking() {
            eprintln!("--- proxy log\n{}\n--- access log\n{}", self.log(), self.access_log().join("\n"));
        } else {
            // Whatever the test was about. What a guest says of its own panic is quoted within a line.
            let own = |line: &str| line.starts_with("thread '") && line.contains(" panicked at ");
            assert!(!self.log().lines().any(own), "the proxy panicked\n{}", self.log());
        }
    }
}

/// Runs the binary in `dir` to its end.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().expect("runs")
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::portcullis());
    command.args(arguments);
    at_home(&mut command, dir);
    command
}

/// In `dir`, with nothing of who runs the tests.
fn at_home(command: &mut Command, dir: &Path) {
    command.current_dir(dir).env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null());
    command.env("STATE_DIRECTORY", compiled::usual(dir));
}

/// A configuration of one worker with an admin listener and a site `a.test` in the clear, which has these routes, one a line. `rest`: what follows
/// a table of its own, such as the upstreams.
pub fn site(routes: &str, rest: &str) -> String {
    let head = "[server]\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n[site.\"a.test\"]\ntls = \"off\"\n[site.\"a.test\".routes]\n";
    format!("{head}{routes}\n{rest}\n")
}

/// Puts the usual head in front of a configuration: two workers, state in the test's directory, kernel-chosen ports.
pub fn complete(config: &str) -> String {
    let mut text = String::new();
    if !config.contains("[server]") {
        text.push_str("[server]\nworkers = 2\nstate = \"state\"\n");
    }
    if !config.contains("[listen]") {
        text.push_str("[listen]\nhttp = [\"127.0.0.1:0\"]\n");
        if config.contains("tls = \"local\"") || config.contains("tls = {") {
            text.push_str("https = [\"127.0.0.1:0\"]\n");
        }
    }
    text + config
}

fn collect(pipe: impl Read + Send + 'static, output: Arc<(Mutex<Lines>, Condvar)>, which: fn(&mut Lines) -> &mut Vec<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            which(&mut output.0.lock().expect("not poisoned")).push(line);
            output.1.notify_all();
        }
    });
}

#[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std; the pid is our own child's, not yet reaped")]
pub fn signal(pid: u32, signal: i32) {
    unsafe { libc::kill(pid as i32, signal) };
}
