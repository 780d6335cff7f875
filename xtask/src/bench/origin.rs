//! The origin: answers 1 KiB to every GET, on one thread, as cheaply as a socket allows.
//!
//! It runs as a process of its own (`xtask bench origin PORT`), so that its CPU time is told apart from the harness's. It reads no more of
//! a request than where it ends, and does not do bodies.

use super::epoll::Epoll;
use super::scenario::BODY;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

struct Connection {
    stream: TcpStream,
    /// How many bytes of `\r\n\r\n` the bytes so far end with: a head may come in pieces.
    matched: usize,
}

/// Serves until it is killed.
pub fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd())?;
    let answer = answer();
    let mut connections = HashMap::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        for fd in epoll.wait()? {
            if fd == listener.as_raw_fd() {
                accept_all(&listener, &epoll, &mut connections);
            } else if connections.get_mut(&fd).is_some_and(|connection: &mut Connection| connection.turn(&mut buffer, &answer).is_err()) {
                connections.remove(&fd);
            }
        }
    }
}

fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 07:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\nCache-Control: no-store\r\n\r\n"
    );
    [head.as_bytes(), &[b'x'; BODY]].concat()
}

fn accept_all(listener: &TcpListener, epoll: &Epoll, connections: &mut HashMap<i32, Connection>) {
    // An error is "no more for now", or a client that has left meanwhile.
    while let Ok((stream, _)) = listener.accept() {
        let fd = stream.as_raw_fd();
        let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).and_then(|()| epoll.add(fd));
        if ready.is_ok() {
            connections.insert(fd, Connection { stream, matched: 0 });
        }
    }
}

impl Connection {
    /// Answers whatever has come. An error ends the connection; so does a peer that does not take 1 KiB.
    fn turn(&mut self, buffer: &mut [u8], answer: &[u8]) -> io::Result<()> {
        let read = match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for _ in 0..heads(&mut self.matched, &buffer[..read]) {
            self.stream.write_all(answer)?;
        }
        Ok(())
    }
}

/// How many heads end in these bytes, after earlier ones that ended with `matched` bytes of the end mark.
fn heads(matched: &mut usize, bytes: &[u8]) -> usize {
    let mut ended = 0;
    for &byte in bytes {
        *matched = match (byte, *matched) {
            (b'\r', 2) => 3,
            (b'\r', _) => 1,
            (b'\n', 1) => 2,
            (b'\n', 3) => {
                ended += 1;
                0
            }
            _ => 0,
        };
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_across_pieces() {
        let mut matched = 0;
        assert_eq!(heads(&mut matched, b"GET / HTTP/1.1\r\nHost: a\r\n\r"), 0);
        assert_eq!(heads(&mut matched, b"\nGET / HTTP/1.1\r\n\r\nGET"), 2);
        assert_eq!(heads(&mut matched, b" / HTTP/1.1\r\n\r\r\n"), 0, "not an end");
        assert_eq!(heads(&mut matched, b"\r\n"), 1);
    }
}
