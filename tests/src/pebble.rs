//! Pebble, the ACME test CA, with a name server that gives every name the address 127.0.0.1.

use crate::{curl, origin, tools};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running CA.
pub struct Pebble {
    children: Vec<Child>,
    address: SocketAddr,
    management: SocketAddr,
    dir: TempDir,
}

impl Pebble {
    /// Looks for proofs on these ports of 127.0.0.1. `more` goes into its configuration as it stands: `"key": value, `.
    pub fn start(http: u16, https: u16, more: &str) -> Self {
        let (pebble, names) = (tools::need("pebble", "pebble"), tools::need("pebble-challtestsrv", "pebble"));
        let dir = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("made");
        std::fs::write(dir.path().join("pebble.pem"), made.cert.pem()).expect("written");
        std::fs::write(dir.path().join("pebble.key"), made.signing_key.serialize_pem()).expect("written");
        let [address, management, dns, dns_management] = [(); 4].map(|()| origin::nobody());
        let config = format!(
            r#"{{ "pebble": {{ "listenAddress": "{address}", "managementListenAddress": "{management}", "certificate": "pebble.pem",
                "privateKey": "pebble.key", {more} "httpPort": {http}, "tlsPort": {https}, "ocspResponderURL": "" }} }}"#
        );
        std::fs::write(dir.path().join("pebble.json"), config).expect("written");
        let log = |name: &str| std::fs::File::create(dir.path().join(name)).expect("made");
        let names = Command::new(names)
            .args(["-dns01", &dns.to_string(), "-management", &dns_management.to_string(), "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdin(Stdio::null())
            .stdout(log("names.log"))
            .stderr(log("names.err"))
            .spawn()
            .expect("starts");
        let pebble = Command::new(pebble)
            .args(["-config", "pebble.json", "-dnsserver", &dns.to_string()])
            .current_dir(dir.path())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .expect("starts");
        let this = Self { children: vec![names, pebble], address, management, dir };
        for port in [dns_management, management, address] {
            this.wait_for(port);
        }
        this
    }

    fn wait_for(&self, port: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(port).is_err() {
            assert!(Instant::now() < deadline, "pebble does not listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// The file with the certificate that its own TLS is checked against.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("pebble.pem")
    }

    /// A file with the root of the certificates that it makes, new for each start.
    pub fn root(&self) -> PathBuf {
        let file = self.dir.path().join("root.pem");
        let root = curl(&["--cacert", self.ca().to_str().expect("UTF-8"), &format!("https://{}/roots/0", self.management)]);
        std::fs::write(&file, root).expect("written");
        file
    }

    /// Everything it said.
    pub fn log(&self) -> String {
        ["pebble.log", "pebble.err"].map(|name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()).concat()
    }
}

impl Pebble {
    /// Ends it; its files stay.
    pub fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- pebble's log\n{}", self.log());
        }
    }
}
