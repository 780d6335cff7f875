//! Clients: raw bytes over TCP, and curl.

use crate::tools;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A connection that says just what the test says.
pub struct Raw {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A parsed HTTP/1.1 response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason token of an answer that the proxy made itself.
    pub fn reason(&self) -> Option<&str> {
        self.header("proxy-status")?.split("details=\"").nth(1)?.split('"').next()
    }
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the proxy accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("settable");
        stream.set_nodelay(true).expect("settable");
        Self { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the proxy reads");
        self
    }

    /// Sends what it can: the proxy may already have answered and closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    pub fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// One response to a request that was not HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// One response, framed as RFC 9112, section 6.3, says for this method.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).unwrap_or_else(|| panic!("closed before a response; read {:?}", String::from_utf8_lossy(&self.unread)))
    }

    /// `None`: the connection was closed without a (whole) response.
    pub fn try_response_to(&mut self, method: &str) -> Option<Response> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = lines.map(field).collect();
        let mut response = Response { status, headers, body: Vec::new(), trailers: Vec::new() };
        if method == "HEAD" || status / 100 == 1 || status == 204 || status == 304 {
            return Some(response);
        }
        if response.header("transfer-encoding").is_some() {
            loop {
                let line = self.until(b"\r\n")?;
                let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim().split(';').next()?, 16).ok()?;
                if size == 0 {
                    break;
                }
                response.body.extend(self.exactly(size)?);
                self.exactly(2)?;
            }
            loop {
                let line = self.until(b"\r\n")?;
                if line == b"\r\n" {
                    return Some(response);
                }
                response.trailers.push(field(String::from_utf8_lossy(&line).trim_end()));
            }
        }
        response.body = match response.header("content-length") {
            Some(length) => self.exactly(length.parse().ok()?)?,
            None => self.rest(),
        };
        Some(response)
    }

    /// Everything up to the end of the connection (or the read timeout).
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the proxy has closed the connection, with nothing left to read.
    pub fn closed(&mut self) -> bool {
        self.unread.is_empty() && !self.more()
    }

    /// Up to and including `end`.
    pub fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            if !self.more() {
                return None;
            }
        }
    }

    pub fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.unread.len() < count {
            if !self.more() {
                return None;
            }
        }
        Some(self.unread.drain(..count).collect())
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                true
            }
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_ascii_lowercase(), value.trim().to_owned())
}

/// GET on a connection of its own; `host` is the `Host` field.
pub fn get(address: SocketAddr, host: &str, path: &str) -> Response {
    get_with(address, host, path, "")
}

/// As `get`, with more field lines, each ended by CRLF.
pub fn get_with(address: SocketAddr, host: &str, path: &str, fields: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
    Raw::connect(address).send(request).response()
}

/// What curl printed; panics with its error output unless it exits with 0.
pub fn curl(arguments: &[&str]) -> String {
    let curl = tools::need("curl", "curl");
    let output = Command::new(curl).args(["-sS", "--max-time", "30"]).args(arguments).output().expect("curl runs");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
