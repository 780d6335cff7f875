//! A TLS client hello, read before anyone has decided who shall answer it. Pure: bytes in, however they were split over records and
//! segments; nothing is decrypted, and nothing is taken away that the one who answers will want to read again.

use crate::message::ClientHello;
use std::net::IpAddr;

/// A hello that needs more than this, record headers counted, is nobody's we know: browsers with post-quantum keys send 2 KiB.
pub const MOST_HELLO: usize = 16 << 10;

/// Browsers send 20, and fewer than 70 are registered; 16 KiB have room for 4,096, whose looking through would cost as much as a handshake.
const MOST_EXTENSIONS: usize = 128;

/// Reads one client hello. Remembers what it has seen, so that bytes that trickle in are looked at once.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Where the next record begins.
    record: usize,
    /// The handshake message, as far as whole records carried it.
    message: Vec<u8>,
}

/// Why there is no client hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHello {
    /// The first bytes are those of another protocol.
    #[error("not TLS")]
    NotTls,
    #[error("the client hello is larger than {} KiB", MOST_HELLO >> 10)]
    TooLarge,
    #[error("the client hello is malformed")]
    Malformed,
}

impl BadHello {
    /// The reason token: the same in log, metric and documentation.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::TooLarge => "hello_too_large",
            Self::Malformed => "bad_hello",
        }
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 8446, section 5.1: a plaintext record has at most 2^14 bytes.
const MOST_RECORD: usize = 1 << 14;

impl HelloReader {
    /// `received` is everything since the connection began, the same bytes as at the last call and perhaps more. `None`: more are
    /// needed. Bytes behind the hello are not looked at.
    ///
    /// # Errors
    /// As soon as what is there cannot become a client hello of at most [`MOST_HELLO`] bytes.
    pub fn read(&mut self, received: &[u8]) -> Result<Option<ClientHello>, BadHello> {
        while let Some(fragment) = self.next_record(received)? {
            self.message.extend_from_slice(fragment);
            if let Some(hello) = self.complete()? {
                return parse(hello).map(Some).ok_or(BadHello::Malformed);
            }
        }
        if received.len() >= MOST_HELLO { Err(BadHello::TooLarge) } else { Ok(None) }
    }

    /// The hello as a handshake message, with its header of four bytes and without those of records; empty until it has been read.
    pub fn message(&self) -> &[u8] {
        let Ok(Some(body)) = self.complete() else { return &[] };
        self.message.get(..4 + body.len()).unwrap_or_default()
    }

    /// The next record's content, if it is all there.
    fn next_record<'r>(&mut self, received: &'r [u8]) -> Result<Option<&'r [u8]>, BadHello> {
        let rest = received.get(self.record..).unwrap_or_default();
        // After the first record, something else in its place is a client's mistake and not another protocol.
        let strange = if self.record == 0 { BadHello::NotTls } else { BadHello::Malformed };
        // Any minor version: RFC 8446, section 5.1, wants it ignored.
        if rest.first().is_some_and(|kind| *kind != HANDSHAKE) || rest.get(1).is_some_and(|major| *major != 3) {
            return Err(strange);
        }
        let Some(&[high, low]) = rest.get(3..5) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > MOST_RECORD {
            return Err(strange);
        }
        if self.record + 5 + length > MOST_HELLO {
            return Err(BadHello::TooLarge);
        }
        let Some(content) = rest.get(5..5 + length) else { return Ok(None) };
        self.record += 5 + length;
        Ok(Some(content))
    }

    /// The hello's body, once the message is whole (RFC 8446, section 4).
    fn complete(&self) -> Result<Option<&[u8]>, BadHello> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(BadHello::Malformed);
        }
        let Some(&[high, middle, low]) = self.message.get(1..4) else { return Ok(None) };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > MOST_HELLO {
            return Err(BadHello::TooLarge);
        }
        Ok(self.message.get(4..4 + length))
    }
}

fn parse(body: &[u8]) -> Option<ClientHello> {
    let mut body = Cursor(body);
    let mut hello = ClientHello { version: body.number()?, ..ClientHello::default() };
    body.take(32)?;
    let session = body.short()?;
    hello.ciphers = numbers(body.long()?)?;
    let compressions = body.short()?;
    if session.0.len() > 32 || hello.ciphers.is_empty() || compressions.0.is_empty() {
        return None;
    }
    // TLS 1.2 clients may have none (RFC 5246, section 7.4.1.2).
    if !body.0.is_empty() {
        let mut extensions = body.long()?;
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            extension(&mut hello, kind, extensions.long()?)?;
        }
    }
    body.0.is_empty().then_some(hello)
}

fn extension(hello: &mut ClientHello, kind: u16, mut content: Cursor<'_>) -> Option<()> {
    // RFC 8446, section 4.2: none comes twice. So few that looking through them costs less than a set.
    if hello.extensions.contains(&kind) || hello.extensions.len() >= MOST_EXTENSIONS {
        return None;
    }
    hello.extensions.push(kind);
    match kind {
        0 => hello.sni = server_name(content.long()?)?,
        10 => hello.groups = numbers(content.long()?)?,
        13 => hello.signatures = numbers(content.long()?)?,
        16 => hello.alpn = protocols(content.long()?)?,
        43 => hello.versions = numbers(content.short()?)?,
        // What is in the others is of no interest here.
        _ => return Some(()),
    }
    content.0.is_empty().then_some(())
}

/// RFC 6066, section 3: one host name; names of other kinds do not exist. `Some(None)`: an IP address, which some clients send
/// although it is not allowed.
fn server_name(mut names: Cursor<'_>) -> Option<Option<std::sync::Arc<str>>> {
    if names.take(1)? != [0] {
        return None;
    }
    let name = std::str::from_utf8(names.long()?.0).ok()?;
    if !names.0.is_empty() {
        return None;
    }
    if name.parse::<IpAddr>().is_ok() {
        return Some(None);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let sound = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (name.len() <= 253 && name.split('.').all(sound)).then(|| Some(name.to_ascii_lowercase().into()))
}

/// RFC 7301, section 3.1.
fn protocols(mut list: Cursor<'_>) -> Option<Vec<Vec<u8>>> {
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.short()?.0;
        if name.is_empty() {
            return None;
        }
        protocols.push(name.to_vec());
    }
    (!protocols.is_empty()).then_some(protocols)
}

/// A list of 16-bit numbers without a byte left over.
fn numbers(list: Cursor<'_>) -> Option<Vec<u16>> {
    let (pairs, rest) = list.0.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}

/// What is left to read. `None` from any of these: it ended too early.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// A vector with its length in one byte.
    fn short(&mut self) -> Option<Self> {
        let length = usize::from(*self.take(1)?.first()?);
        self.take(length).map(Self)
    }

    /// A vector with its length in two bytes.
    fn long(&mut self) -> Option<Self> {
        let length = usize::from(self.number()?);
        self.take(length).map(Self)
    }
}

#[cfg(test)]
mod tests;
