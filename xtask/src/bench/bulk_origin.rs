//! The origin of big bodies: answers `BULK` bytes to a GET, takes the body of anything else and answers 1 KiB.
//!
//! A thread for each connection, because there are few and what they do is one long write or many reads. Like the other origin it is a
//! process of its own (`xtask bench bulk-origin PORT`).

use super::head::Head;
use super::scenario::{BODY, BULK};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Serves until it is killed.
pub fn serve(port: u16) -> io::Result<()> {
    answer(&TcpListener::bind((Ipv4Addr::LOCALHOST, port))?)
}

/// Serves whoever comes.
pub fn answer(listener: &TcpListener) -> io::Result<()> {
    let body: Arc<[u8]> = vec![b'x'; BULK].into();
    loop {
        let (stream, _) = listener.accept()?;
        let body = Arc::clone(&body);
        // A client that leaves ends its connection, nothing else.
        thread::spawn(move || converse(stream, &body));
    }
}

fn converse(mut stream: TcpStream, body: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 << 10];
    while let Some(head) = Head::read(&mut stream, &mut buffer)? {
        if head.skip_body(&mut stream, &mut buffer)? < head.length {
            break;
        }
        let length = if head.text.starts_with("get ") { body.len() } else { BODY };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(answer.as_bytes())?;
        stream.write_all(&body[..length])?;
    }
    Ok(())
}
