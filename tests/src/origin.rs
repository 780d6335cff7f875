//! Origins: one that speaks HTTP/1.1 and echoes, and one that says just what the test says.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A listening origin; its threads end with their connections, its accept thread with the process or `Drop`.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    closing: Arc<AtomicUsize>,
    /// Those that are open, by their number.
    streams: Arc<Mutex<HashMap<usize, TcpStream>>>,
}

impl Origin {
    /// Answers 200 with the request as it arrived (head, then body). Paths: `/status/N`, `/bytes/N` (Content-Length), `/chunked/N` (with a
    /// trailer `x-checksum: done`), `/slow/MS`, `/close` (ends the connection after the answer), `/name` (the origin's name).
    pub fn echo() -> Self {
        Self::named("origin")
    }

    /// As `echo`; `x-origin` says the name.
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self::serve(move |stream, seen| while answer(stream, seen, &name) {})
    }

    /// Reads a head on each connection, then writes these bytes and closes.
    pub fn says(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::serve(move |stream, seen| {
            let Some(head) = read_head(stream) else { return };
            seen.lock().expect("not poisoned").push(head.0);
            let _ = stream.write_all(&bytes);
        })
    }

    /// As `named`, at this address of this machine.
    pub fn named_at(address: &str, port: u16, name: &str) -> Self {
        let name = name.to_owned();
        let listener = TcpListener::bind((address, port)).unwrap_or_else(|error| panic!("{address}:{port}: {error}"));
        Self::serve_on(listener, move |stream, seen| while answer(stream, seen, &name) {})
    }

    /// As `says`, but leaves the connection open until the other side closes it.
    pub fn says_and_stays(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::serve(move |stream, seen| {
            let Some(head) = read_head(stream) else { return };
            seen.lock().expect("not poisoned").push(head.0);
            let _ = stream.write_all(&bytes);
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// Full control: called once for each connection, on a thread of its own.
    pub fn serve(connection: impl Fn(&mut TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        Self::serve_on(TcpListener::bind("127.0.0.1:0").expect("a port"), connection)
    }

    fn serve_on(listener: TcpListener, connection: impl Fn(&mut TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("bound");
        let (seen, connections, closing) = (Arc::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let streams = Arc::<Mutex<HashMap<usize, TcpStream>>>::default();
        let open = Arc::clone(&streams);
        let origin =
            Self { address, seen: Arc::clone(&seen), connections: Arc::clone(&connections), closing: Arc::clone(&closing), streams };
        let connection = Arc::new(connection);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closing.load(Ordering::Relaxed) > 0 {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let number = connections.fetch_add(1, Ordering::Relaxed);
                open.lock().expect("not poisoned").extend(stream.try_clone().map(|stream| (number, stream)));
                let open = Arc::clone(&open);
                let (seen, connection) = (Arc::clone(&seen), Arc::clone(&connection));
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    let _ = stream.set_nodelay(true);
                    connection(&mut stream, &seen);
                    // Before the other half, which closes it.
                    open.lock().expect("not poisoned").remove(&number);
                });
            }
        });
        origin
    }

    /// `host:port`, as it stands in a configuration.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Heads of the requests that arrived.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Ends it as a process that is killed: its connections are closed, and nobody listens any more.
    pub fn kill(self) {
        let streams = Arc::clone(&self.streams);
        drop(self);
        for (_, stream) in streams.lock().expect("not poisoned").drain() {
            // It may be closed already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.closing.store(1, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// A port on which nothing listens. Below those that the system gives to whoever asks for any, so that no connection and no other test takes it
/// before it is used.
pub fn nobody() -> SocketAddr {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let own = std::process::id() as usize * 500;
    loop {
        let port = 10_000 + (own + TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The head with its blank line, and what was read beyond it.
pub fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
}

fn answer(stream: &mut TcpStream, seen: &Mutex<Vec<String>>, name: &str) -> bool {
    let Some((head, rest)) = read_head(stream) else { return false };
    seen.lock().expect("not poisoned").push(head.clone());
    let Some(body) = read_body(stream, &head, rest) else { return false };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let path = target.split('?').next().unwrap_or_default();
    let mut parts = path.trim_start_matches('/').split('/');
    let (what, number) = (parts.next().unwrap_or_default(), parts.next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0));
    let mut status = 200;
    let mut content = head.clone().into_bytes();
    content.extend(&body);
    match what {
        "status" => status = number,
        "bytes" | "chunked" => content = vec![b'x'; number],
        "slow" => std::thread::sleep(Duration::from_millis(number as u64)),
        "name" => content = name.as_bytes().to_vec(),
        _ => {}
    }
    let close = what == "close";
    let mut out = format!("HTTP/1.1 {status} Whatever\r\nx-origin: {name}\r\nContent-Type: text/plain\r\n");
    if close {
        out += "Connection: close\r\n";
    }
    let empty = method == "HEAD" || status == 204 || status == 304;
    let written = if what == "chunked" {
        out += "Transfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\r\n";
        let mut bytes = out.into_bytes();
        if !empty {
            for piece in content.chunks(10_000) {
                bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                bytes.extend(piece);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\nx-checksum: done\r\n\r\n");
        }
        stream.write_all(&bytes)
    } else {
        if status != 204 {
            out += &format!("Content-Length: {}\r\n", content.len());
        }
        out += "\r\n";
        stream.write_all(out.as_bytes()).and_then(|()| if empty { Ok(()) } else { stream.write_all(&content) })
    };
    written.is_ok() && !close
}

/// What follows the head: `bytes` are read already.
pub fn read_body(stream: &mut TcpStream, head: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let mut more = |bytes: &mut Vec<u8>| {
        let mut chunk = [0; 64 << 10];
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        Some(())
    };
    if header(head, "transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                match bytes.windows(2).position(|window| window == b"\r\n") {
                    Some(at) => break at,
                    None => more(&mut bytes)?,
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line_end]).ok()?.split(';').next()?, 16).ok()?;
            if size == 0 {
                while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
                    more(&mut bytes)?;
                }
                let trailers = String::from_utf8_lossy(&bytes[line_end + 2..]).trim_end().to_owned();
                body.extend(trailers.into_bytes());
                return Some(body);
            }
            while bytes.len() < line_end + 2 + size + 2 {
                more(&mut bytes)?;
            }
            body.extend(&bytes[line_end + 2..line_end + 2 + size]);
            bytes.drain(..line_end + 2 + size + 2);
        }
    }
    let length: usize = header(head, "content-length").map_or(Some(0), |length| length.parse().ok())?;
    while bytes.len() < length {
        more(&mut bytes)?;
    }
    Some(bytes)
}
