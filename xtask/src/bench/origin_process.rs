//! The origin, started beside the load generator.

use super::process::{Process, pinned};
use super::stand::Stand;
use super::trouble::Trouble;
use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub struct Origin {
    pub port: u16,
    process: Process,
}

impl Origin {
    /// `kind` is `origin` or `bulk-origin`.
    pub fn start(stand: &Stand, kind: &str) -> Result<Self, Trouble> {
        let port = stand.port();
        let mut command = pinned(stand.load_core, std::env::current_exe()?, &stand.dir, &format!("{kind}.log"))?;
        command.args(["bench", kind, &port.to_string()]);
        let process = Process::start(command)?;
        let until = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > until {
                return Err(Trouble::Machine(format!("the {kind} does not start")));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(Self { port, process })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
