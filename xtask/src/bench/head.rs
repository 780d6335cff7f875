//! As much of HTTP/1.1 as the benchmark's own sockets need: a head, and how long the body is that follows it.

use std::io::{self, Read};

/// Far more than any head here.
const MOST: usize = 16 << 10;

/// A head, and what came with it.
#[derive(Debug, PartialEq)]
pub struct Head {
    /// In lower case.
    pub text: String,
    /// Of the body, by `Content-Length`; 0 without one.
    pub length: usize,
    /// How much of the body has been read together with the head.
    pub read: usize,
}

impl Head {
    /// Reads one. `None`: the stream ended before its first byte. `buffer` is room for it.
    pub fn read(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<Self>> {
        let room = buffer.len().min(MOST);
        let mut filled = 0;
        loop {
            let count = stream.read(&mut buffer[filled..room])?;
            if count == 0 {
                return if filled == 0 { Ok(None) } else { Err(no_head(&buffer[..filled])) };
            }
            filled += count;
            if let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&buffer[..end + 4]).to_lowercase();
                return Ok(Some(Self { length: length(&text), text, read: filled - end - 4 }));
            }
        }
    }

    /// Of an answer; 0 if it is none.
    pub fn status(&self) -> u16 {
        let status = self.text.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        status.unwrap_or(0)
    }

    /// Reads the rest of the body and keeps nothing of it. Returns its length, which is less than promised when the stream ends before.
    pub fn skip_body(&self, stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.read;
        while read < self.length {
            let most = buffer.len().min(self.length - read);
            match stream.read(&mut buffer[..most])? {
                0 => break,
                count => read += count,
            }
        }
        Ok(read)
    }
}

fn length(head: &str) -> usize {
    let field = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    field.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn no_head(bytes: &[u8]) -> io::Error {
    io::Error::other(format!("no HTTP: {}", String::from_utf8_lossy(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_with_its_body() {
        let mut stream: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nX-A: B\r\n\r\nnever more";
        let mut buffer = [0; 64];
        let head = Head::read(&mut stream, &mut buffer).expect("read").expect("a head");
        assert_eq!((head.status(), head.length), (403, 5));
        assert!(head.text.ends_with("\r\nx-a: b\r\n\r\n"), "{}", head.text);
        assert!(head.skip_body(&mut stream, &mut buffer).expect("read") >= 5);
    }

    #[test]
    fn what_ends_early_is_told_apart() {
        let mut buffer = [0; 64];
        assert_eq!(Head::read(&mut &b""[..], &mut buffer).expect("no error"), None);
        assert!(Head::read(&mut &b"SSH-2.0-OpenSSH\r\n"[..], &mut buffer).is_err());
        let mut short: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234";
        let head = Head::read(&mut short, &mut buffer).expect("read").expect("a head");
        assert_eq!(head.skip_body(&mut short, &mut buffer).expect("read"), 4);
    }

    #[test]
    fn a_head_without_an_end_is_refused() {
        let endless = vec![b'a'; 2 * MOST];
        assert!(Head::read(&mut &endless[..], &mut vec![0; 4 * MOST]).is_err());
    }
}
