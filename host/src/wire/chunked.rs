//! The chunked transfer coding, decoding side (RFC 9112, section 7.1). Extensions are bounded and skipped.

use super::HeadLimits;
use super::decoder::{BadBody, Decoded};
use super::fields::{self, Facts, Keep};
use super::lines::{Leading, Lines};
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr2;

/// Extensions of one chunk, in bytes. Nobody uses them; chosen arbitrarily.
const EXTENSION: usize = 1024;
/// Extensions of one body, in bytes: else one-byte chunks make a thousand bytes of work each.
const EXTENSIONS: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of extensions that may still come.
    extensions: usize,
    limits: HeadLimits,
}

#[derive(Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    /// Boxed: hardly any body has trailers.
    TrailerLines(Box<Lines>),
}

impl Chunked {
    pub fn new(limits: HeadLimits) -> Self {
        Self { state: State::Size, extensions: EXTENSIONS, limits }
    }

    /// Takes what follows the last chunk of a body without trailers, if that is what follows.
    pub fn take_end(&self, buf: &mut BytesMut) -> bool {
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let there = matches!(self.state, State::DataEnd) && buf.starts_with(END);
        if there {
            buf.advance(END.len());
        }
        there
    }

    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BadBody> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some(line) = size_line(buf)? else { return Ok(Decoded::NeedMore) };
                    self.extensions = self.extensions.checked_sub(line.extension).ok_or(BadBody::ChunkExtension)?;
                    buf.advance(line.length);
                    self.state = if line.size == 0 { State::Trailers } else { State::Data(line.size) };
                }
                State::Data(_) if buf.is_empty() => return Ok(Decoded::NeedMore),
                State::Data(left) => {
                    let data = buf.split_to(usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()))).freeze();
                    *left -= data.len() as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::DataEnd => {
                    if !take_line_break(buf).ok_or(BadBody::ChunkEnd)? {
                        return Ok(Decoded::NeedMore);
                    }
                    self.state = State::Size;
                }
                State::Trailers => match take_line_break(buf) {
                    Some(true) => return Ok(Decoded::End),
                    Some(false) => return Ok(Decoded::NeedMore),
                    None => self.state = State::TrailerLines(Box::default()),
                },
                State::TrailerLines(lines) => {
                    let scanned = lines.scan(buf, &self.limits, Leading::NoStartLine).map_err(|_| BadBody::Trailer)?;
                    let Some(length) = scanned else { return Ok(Decoded::NeedMore) };
                    let trailers = trailers(&buf.split_to(length).freeze(), lines)?;
                    return Ok(if trailers.is_empty() { Decoded::End } else { Decoded::Trailers(trailers) });
                }
            }
        }
    }
}

/// Takes CRLF; `Some(false)`: not there yet; `None`: something else is there.
fn take_line_break(buf: &mut BytesMut) -> Option<bool> {
    match buf.first_chunk::<2>() {
        Some(b"\r\n") => {
            buf.advance(2);
            Some(true)
        }
        None if matches!(&buf[..], [] | [b'\r']) => Some(false),
        _ => None,
    }
}

struct SizeLine {
    size: u64,
    /// Of the whole line with its CRLF.
    length: usize,
    extension: usize,
}

/// `1*HEXDIG [";" extension] CRLF`; `None`: not all there yet.
fn size_line(buf: &[u8]) -> Result<Option<SizeLine>, BadBody> {
    let digits = buf.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // 16 digits fill 64 bits: no overflow, and no endless line of zeros.
    if digits > 16 || (digits == 0 && !buf.is_empty()) {
        return Err(BadBody::ChunkSize);
    }
    let Some(&delimiter) = buf.get(digits) else { return Ok(None) };
    let extension = match delimiter {
        b'\r' => 0,
        b';' => match memchr2(b'\r', b'\n', buf.get(digits..).unwrap_or_default()) {
            Some(length) => length,
            None if buf.len() - digits > EXTENSION => return Err(BadBody::ChunkExtension),
            None => return Ok(None),
        },
        _ => return Err(BadBody::ChunkSize),
    };
    let text = buf.get(digits..digits + extension).unwrap_or_default();
    if extension > EXTENSION || !text.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
        return Err(BadBody::ChunkExtension);
    }
    match (buf.get(digits + extension), buf.get(digits + extension + 1)) {
        (Some(b'\r'), Some(b'\n')) => {}
        (Some(b'\r'), None) => return Ok(None),
        _ => return Err(BadBody::ChunkSize),
    }
    let hex = std::str::from_utf8(buf.get(..digits).unwrap_or_default()).unwrap_or_default();
    let size = u64::from_str_radix(hex, 16).map_err(|_| BadBody::ChunkSize)?;
    Ok(Some(SizeLine { size, length: digits + extension + 2, extension }))
}

/// The trailer fields that may be passed on.
fn trailers(section: &Bytes, lines: &Lines) -> Result<HeaderMap, BadBody> {
    let mut trailers = HeaderMap::new();
    let mut facts = Facts::default();
    for line in lines.iter() {
        fields::parse_line(section, line, Keep::All, &mut trailers, &mut facts).map_err(|_| BadBody::Trailer)?;
    }
    fields::retain_trailers(&mut trailers);
    Ok(trailers)
}
