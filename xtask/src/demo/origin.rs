//! The demo's origin: answers each request with the request as it arrived. For looking, not for load.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Listens on a port of the kernel's choice until the process ends.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A client that breaks off is none of our business.
                let _ = serve(stream);
            });
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut echo = String::new();
        let mut length = 0;
        let mut chunked = false;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            length = lower.strip_prefix("content-length:").and_then(|value| value.trim().parse().ok()).unwrap_or(length);
            chunked |= lower.starts_with("transfer-encoding:");
            echo += &line;
        }
        let body = if chunked { read_chunks(&mut lines)? } else { read_exactly(&mut lines, length)? };
        echo += "\r\n";
        echo += &String::from_utf8_lossy(&body);
        write!(out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{echo}", echo.len())?;
    }
}

fn read_exactly(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body)?;
    Ok(body)
}

fn read_chunks(lines: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        body.extend(read_exactly(lines, size)?);
        // The line break after the chunk, or the blank line after the last (our proxy sends no trailers here).
        lines.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}
