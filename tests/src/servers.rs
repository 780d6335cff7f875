//! Servers of others, as Debian packages them: started on a port of the kernel's choice, ended with the test.

use crate::tools;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A running server in a directory of its own.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
}

impl Server {
    /// Starts `command` and waits until `address` accepts connections.
    fn start(mut command: Command, address: SocketAddr, dir: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(dir.path().join("server.log")).expect("a file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, address, dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            let ended = server.child.try_wait().expect("waitable");
            assert!(ended.is_none() && Instant::now() < deadline, "{command:?} does not listen ({ended:?}):\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    ///
    /// # Panics
    /// If it takes longer than half a minute.
    pub fn terminate(&mut self) {
        crate::proxy::signal(self.child.id(), libc::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait().expect("waitable").is_none() {
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// `host:port`, as it stands in a configuration.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Redis (Debian package redis-server), which keeps nothing; with a certificate and key, it speaks only TLS.
    pub fn redis(tls: Option<(&Path, &Path)>) -> Self {
        Self::redis_at(crate::nobody(), tls)
    }

    /// As `redis`, at an address where one was before.
    pub fn redis_at(address: SocketAddr, tls: Option<(&Path, &Path)>) -> Self {
        let program = tools::need("redis-server", "redis-server");
        let dir = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(program);
        let port = address.port().to_string();
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir.path());
        match tls {
            None => command.args(["--port", &port]),
            Some((cert, key)) => {
                command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"]).arg(cert);
                command.arg("--tls-key-file").arg(key).arg("--tls-ca-cert-file").arg(cert)
            }
        };
        Self::start(command, address, dir)
    }

    /// nginx (Debian package nginx-light); what `http` makes of its address and folder stands in its `http { … }` block.
    pub fn nginx(http: impl FnOnce(SocketAddr, &str) -> String) -> Self {
        let program = tools::need("nginx", "nginx-light");
        let (address, dir) = (crate::nobody(), tempfile::tempdir().expect("a directory"));
        let folder = dir.path().to_str().expect("UTF-8");
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {folder}/{name};")).concat();
        let conf = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log notice;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; {paths}\n{}\n}}\n",
            http(address, folder)
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).expect("written");
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-e").arg(dir.path().join("error.log")).arg("-c").arg(dir.path().join("nginx.conf"));
        Self::start(command, address, dir)
    }

    /// Knot (Debian package knot), by the configuration in a folder that it may write to.
    pub fn knot_at(address: SocketAddr, config: &Path) -> Self {
        let mut command = Command::new(tools::need("knotd", "knot"));
        command.arg("-c").arg(config);
        Self::start(command, address, tempfile::tempdir().expect("a directory"))
    }

    /// HAProxy (Debian package haproxy); what `sections` makes of its address and folder follows a usual `defaults` section.
    pub fn haproxy(sections: impl FnOnce(SocketAddr, &str) -> String) -> Self {
        let program = tools::need("haproxy", "haproxy");
        let (address, dir) = (crate::nobody(), tempfile::tempdir().expect("a directory"));
        let defaults = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n";
        let sections = sections(address, dir.path().to_str().expect("UTF-8"));
        std::fs::write(dir.path().join("haproxy.cfg"), format!("{defaults}{sections}\n")).expect("written");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(dir.path().join("haproxy.cfg"));
        Self::start(command, address, dir)
    }

    /// A program of a test's own choice, run in `folder`.
    pub fn program(program: &str, folder: &Path, arguments: impl FnOnce(SocketAddr) -> Vec<String>) -> Self {
        let address = crate::nobody();
        Self::program_at(address, program, folder, arguments(address))
    }

    /// As `program`, at an address where one was before.
    pub fn program_at(address: SocketAddr, program: &str, folder: &Path, arguments: Vec<String>) -> Self {
        let mut command = Command::new(tools::need(program, program));
        command.args(arguments).current_dir(folder);
        Self::start(command, address, tempfile::tempdir().expect("a directory"))
    }

    /// `openssl s_server`, which answers every request with a page about the handshake.
    pub fn s_server(cert: &Path, key: &Path) -> Self {
        let (address, dir) = (crate::nobody(), tempfile::tempdir().expect("a directory"));
        let mut command = Command::new(tools::need("openssl", "openssl"));
        command.args(["s_server", "-accept", &address.to_string(), "-www", "-cert"]).arg(cert).arg("-key").arg(key);
        Self::start(command, address, dir)
    }

    /// A registry (Debian package docker-registry) with what it holds in `folder`; `more` is added to its `http` and further sections.
    pub fn registry_at(address: SocketAddr, folder: &Path, more: &str) -> Self {
        let program = tools::need("docker-registry", "docker-registry");
        let dir = tempfile::tempdir().expect("a directory");
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{more}\n",
            folder.display()
        );
        std::fs::write(dir.path().join("config.yml"), config).expect("written");
        let mut command = Command::new(program);
        command.arg("serve").arg(dir.path().join("config.yml"));
        Self::start(command, address, dir)
    }

    /// PostgreSQL (Debian package postgresql) with a user and database `postgres`; everybody may come in.
    pub fn postgres() -> Self {
        tools::need("psql", "postgresql");
        let (address, dir) = (crate::nobody(), tempfile::tempdir().expect("a directory"));
        let data = dir.path().join("data");
        // It refuses to run as root.
        run_as_owner(
            dir.path(),
            &postgres_program("initdb"),
            &["-D", data.to_str().expect("UTF-8"), "-U", "postgres", "-A", "trust", "-N"],
        );
        let mut command = as_owner(dir.path(), &postgres_program("postgres"));
        let port = address.port().to_string();
        command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-k", "", "-F"]);
        Self::start(command, address, dir)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        // PostgreSQL has children of its own, which SIGKILL would leave behind; SIGINT is its fast shutdown, and Redis's too.
        crate::proxy::signal(self.child.id(), libc::SIGINT);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian keeps the programs of each version in a folder of its own; the newest.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path());
    let mut found: Vec<PathBuf> = versions.map(|version| version.join("bin").join(name)).filter(|file| file.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("this test needs `{name}` (Debian package postgresql)"))
}

/// A command that runs as `postgres` if we are root; the directory is made its own.
fn as_owner(dir: &Path, program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let owned = Command::new("chown").args(["-R", "postgres"]).arg(dir).status();
    assert!(owned.is_ok_and(|status| status.success()), "{} cannot be given to postgres", dir.display());
    // Not `su` or `runuser`: they stay in between, and signals would end them instead of the server.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program).current_dir(dir);
    command
}

fn run_as_owner(dir: &Path, program: &Path, arguments: &[&str]) {
    let output: Output = as_owner(dir, program).args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
}
