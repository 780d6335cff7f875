//! Servers of other makes, each started for one test and ended with it.

use crate::tools;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that listens.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// A port that was free a moment ago. Another process may take it first, which a test then says loudly.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

impl Server {
    /// Starts a program that will listen on 127.0.0.1:`port`, and waits until it does.
    pub fn start(command: &mut Command, port: u16) -> Self {
        let mut child = command.stdin(Stdio::null()).spawn().expect("starts");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait().expect("waitable") {
                panic!("{command:?} ended with {status}");
            }
            assert!(Instant::now() < deadline, "{command:?} does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }

    /// Debian's nginx; `http` stands in its `http { … }` block. `dir` is its prefix.
    pub fn nginx(dir: &Path, port: u16, http: &str) -> Self {
        let folder = dir.display();
        let conf = format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log notice;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log {folder}/nginx.access; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{http}\n}}\n"
        );
        std::fs::write(dir.join("nginx.conf"), conf).expect("written");
        let mut command = Command::new(tools::need("nginx", "nginx-light"));
        command.arg("-p").arg(dir).arg("-e").arg(dir.join("nginx.log")).arg("-c").arg(dir.join("nginx.conf"));
        Self::start(&mut command, port)
    }

    /// Debian's haproxy with this configuration after a usual `defaults` section.
    pub fn haproxy(dir: &Path, port: u16, sections: &str) -> Self {
        let head = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n";
        let file = dir.join("haproxy.cfg");
        std::fs::write(&file, format!("{head}{sections}\n")).expect("written");
        let mut command = Command::new(tools::need("haproxy", "haproxy"));
        command.arg("-db").arg("-f").arg(&file).stderr(Stdio::null());
        Self::start(&mut command, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
