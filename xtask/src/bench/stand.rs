//! The test stand: a folder of this run's own, a lock, a certificate, free ports.

use super::options::Options;
use super::trouble::Trouble;
use std::cell::Cell;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

/// For the load generators: one TLS version, group and cipher suite, so that every proxy does the same cryptography.
const OPENSSL: &str = "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = sys\n[sys]\nMinProtocol = TLSv1.3\nGroups = X25519\nCiphersuites = TLS_AES_128_GCM_SHA256\n";

/// Dropping it removes the folder and lets go of the lock.
pub struct Stand {
    pub dir: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// What outlives a run: compiled plugins.
    pub kept: PathBuf,
    pub load_core: u32,
    pub proxy_core: u32,
    next_port: Cell<u16>,
    _lock: File,
}

impl Stand {
    /// `base` is `target/bench`. Waits for the lock.
    pub fn set_up(base: &Path, options: &Options) -> Result<Self, Trouble> {
        fs::create_dir_all(base)?;
        let lock = lock(options.lock.as_deref().unwrap_or(&base.join("lock")))?;
        sweep(base)?;
        let pid = std::process::id();
        let dir = base.join(format!("run-{pid}"));
        let kept = base.join("kept");
        fs::create_dir_all(&dir)?;
        fs::create_dir_all(&kept)?;
        // Below the range from which outgoing connections take theirs (32768 on), so that none takes a proxy's port meanwhile.
        let first = 20_000 + u16::try_from(pid % 1000).unwrap_or(0) * 10;
        let stand = Self {
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            dir,
            kept,
            load_core: options.load_core,
            proxy_core: options.proxy_core,
            next_port: Cell::new(first),
            _lock: lock,
        };
        stand.make_certificate()?;
        fs::write(stand.openssl(), OPENSSL)?;
        for core in [stand.load_core, stand.proxy_core] {
            usable(core)?;
        }
        Ok(stand)
    }

    pub fn openssl(&self) -> PathBuf {
        self.dir.join("openssl.cnf")
    }

    /// A port that nobody has now.
    pub fn port(&self) -> u16 {
        loop {
            let port = self.next_port.get();
            self.next_port.set(if port >= 32_000 { 20_000 } else { port + 1 });
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
    }

    fn make_certificate(&self) -> Result<(), Trouble> {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
        command.args(["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,DNS:*.bench.test,IP:127.0.0.1"]);
        command.arg("-keyout").arg(&self.key).arg("-out").arg(&self.cert);
        let output = command.output()?;
        let failed = || Trouble::Machine(format!("openssl req: {}", String::from_utf8_lossy(&output.stderr)));
        if output.status.success() { Ok(()) } else { Err(failed()) }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // What stays is swept by the next run.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn lock(path: &Path) -> Result<File, Trouble> {
    let file = File::options().create(true).append(true).open(path)?;
    if file.try_lock().is_err() {
        eprintln!("waiting for {}", path.display());
        file.lock()?;
    }
    Ok(file)
}

/// Removes folders of runs that a signal ended.
fn sweep(base: &Path) -> Result<(), Trouble> {
    for entry in fs::read_dir(base)?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn usable(core: u32) -> Result<(), Trouble> {
    let pinned = Command::new("taskset").args(["-c", &core.to_string(), "true"]).output()?.status.success();
    if pinned { Ok(()) } else { Err(Trouble::Machine(format!("no core {core}: two are needed; choose with --cores LOAD,PROXY"))) }
}
