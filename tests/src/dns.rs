//! A DNS server of its own for a test: Knot, with the zone `test.`, whose records change as the test says.

use crate::{Server, nobody, tools};
use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// A running Knot.
pub struct Dns {
    pub address: SocketAddr,
    server: RefCell<Option<Server>>,
    dir: tempfile::TempDir,
    serial: Cell<u32>,
}

impl Dns {
    /// With these records below `test.`, one a line, as in a zone file: `app 1 A 127.0.0.2`.
    pub fn start(records: &str) -> Self {
        let dns = Self::nowhere();
        dns.write(records);
        dns.run();
        dns
    }

    /// One that does not run yet.
    pub fn nowhere() -> Self {
        let (address, dir) = (nobody(), tempfile::tempdir().expect("a directory"));
        let folder = dir.path().display();
        let config = format!(
            "server:\n  rundir: \"{folder}\"\n  listen: {}@{}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             control:\n  listen: \"{folder}/knot.sock\"\nlog:\n  - target: stderr\n    any: info\n\
             database:\n  storage: \"{folder}/db\"\n\
             zone:\n  - domain: test.\n    file: \"{folder}/test.zone\"\n    journal-content: none\n",
            address.ip(),
            address.port()
        );
        fs::create_dir(dir.path().join("db")).expect("a directory");
        fs::write(dir.path().join("knot.conf"), config).expect("written");
        Self { address, server: RefCell::default(), dir, serial: Cell::new(0) }
    }

    /// From now on these are the records.
    pub fn set(&self, records: &str) {
        self.write(records);
        self.control(&["-b", "zone-reload", "test."]);
    }

    /// From now on nobody answers.
    pub fn stop(&self) {
        self.server.take();
    }

    /// From now on every question about the zone is answered with SERVFAIL, as of a server that cannot read it.
    pub fn fail(&self) {
        self.stop();
        fs::remove_file(self.zone()).expect("a zone");
        self.run();
    }

    /// Starts, or starts again, at the same address.
    pub fn run(&self) {
        self.stop();
        self.server.replace(Some(Server::knot_at(self.address, &self.dir.path().join("knot.conf"))));
    }

    /// Starts, or starts again, with these records.
    pub fn run_with(&self, records: &str) {
        self.write(records);
        self.run();
    }

    fn zone(&self) -> PathBuf {
        self.dir.path().join("test.zone")
    }

    fn write(&self, records: &str) {
        self.serial.set(self.serial.get() + 1);
        let head = format!("$ORIGIN test.\n@ 1 SOA ns hostmaster {} 60 60 60 1\n@ 1 NS ns\nns 1 A 127.0.0.1\n", self.serial.get());
        fs::write(self.zone(), format!("{head}{records}\n")).expect("written");
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = Command::new(tools::need("knotc", "knot"));
        let output = command.arg("-s").arg(self.dir.path().join("knot.sock")).args(arguments).output().expect("knotc");
        assert!(output.status.success(), "{output:?}");
    }
}
