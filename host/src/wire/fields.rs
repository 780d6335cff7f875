//! Field lines (RFC 9112, section 5) into a `HeaderMap`, and what they say about framing and the connection.

use super::Framing;
use super::lines::Broken;
use crate::message::client_identity;
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Version};
use memchr::memchr;

/// What field lines say about framing and the connection, gathered while they are read.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub length: Option<u64>,
    pub chunked: bool,
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// `Connection: upgrade`.
    pub upgrade_listed: bool,
    /// An `Upgrade` field.
    pub upgrade: bool,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// Number of `Host` lines.
    pub hosts: u32,
}

/// Which framing fields are kept in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    All,
    /// Responses to HEAD and 304: `Content-Length` describes a body that is not sent.
    Length,
    Neither,
}

/// Parses the line from `start` to `end` of `head` and adds it to `map`.
pub(super) fn parse_line(
    head: &Bytes,
    (start, end): (usize, usize),
    keep: Keep,
    map: &mut HeaderMap,
    facts: &mut Facts,
) -> Result<(), Broken> {
    let line = head.get(start..end).ok_or(Broken::Field)?;
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Broken::ObsoleteFolding);
    }
    let colon = memchr(b':', line).ok_or(Broken::Field)?;
    // Refuses whatever is no token: an empty name, white space before the colon, control bytes.
    let name = line.get(..colon).and_then(|name| HeaderName::from_bytes(name).ok()).ok_or(Broken::Field)?;
    let (from, to) = trim(head, start + colon + 1, end);
    let value = HeaderValue::from_maybe_shared(head.slice(from..to)).map_err(|_| Broken::Field)?;
    let drop = facts.note(&name, &value, keep)?;
    if !drop {
        map.try_append(name, value).map_err(|_| Broken::TooManyFields)?;
    }
    Ok(())
}

/// Moves `from` and `to` past optional white space (RFC 9110, section 5.6.3).
fn trim(head: &[u8], mut from: usize, mut to: usize) -> (usize, usize) {
    let blank = |at: usize| matches!(head.get(at), Some(b' ' | b'\t'));
    while from < to && blank(from) {
        from += 1;
    }
    while from < to && blank(to - 1) {
        to -= 1;
    }
    (from, to)
}

impl Facts {
    /// Looks at one field; `true`: it is not kept. Told apart by length first, which leaves most fields alone.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue, keep: Keep) -> Result<bool, Broken> {
        match name.as_str().len() {
            4 if name == header::HOST => self.hosts += 1,
            6 if name == header::EXPECT => self.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
            7 if name == header::UPGRADE => self.upgrade = true,
            10 if name == header::CONNECTION => self.note_connection(value),
            14 if name == header::CONTENT_LENGTH => {
                // A second line is refused even if it repeats the first: who is in front of us may have used either.
                let length = decimal(value.as_bytes()).filter(|_| self.length.is_none()).ok_or(Broken::ContentLength)?;
                self.length = Some(length);
                return Ok(keep == Keep::Neither);
            }
            17 if name == header::TRANSFER_ENCODING => {
                if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                    return Err(Broken::TransferEncoding);
                }
                self.chunked = true;
                return Ok(keep != Keep::All);
            }
            _ => {}
        }
        Ok(false)
    }

    fn note_connection(&mut self, value: &HeaderValue) {
        for option in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_listed |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// The framing that the fields alone state; `None` if they state none.
    pub fn framing(&self, version: Version) -> Result<Option<Framing>, Broken> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Broken::LengthAndChunked),
            // RFC 9112, section 6.1: faulty framing, even if the next hop would understand it.
            (true, None) if version == Version::HTTP_10 => Err(Broken::TransferEncoding),
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, Some(length)) => Ok(Some(Framing::Length(length))),
            (false, None) => Ok(None),
        }
    }

    /// Whether the connection outlives this message (RFC 9112, section 9.3).
    pub fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
}

/// `1*DIGIT`, no sign, no list, no overflow.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Removes what must not come as a trailer (RFC 9110, section 6.5.1): fields for framing, routing, authentication, and those that say
/// how to treat the content, or who the client is.
pub fn retain_trailers(trailers: &mut HeaderMap) {
    let forbidden: Vec<HeaderName> = trailers.keys().filter(|name| !may_be_trailer(name)).cloned().collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

/// Whether a field may stand in a trailer section.
pub(super) fn may_be_trailer(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 32] = [
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::HOST,
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::WWW_AUTHENTICATE,
        header::PROXY_AUTHENTICATE,
        header::COOKIE,
        header::SET_COOKIE,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::CACHE_CONTROL,
        header::PRAGMA,
        header::EXPECT,
        header::MAX_FORWARDS,
        header::RANGE,
        header::AGE,
        header::DATE,
        header::EXPIRES,
        header::LOCATION,
        header::RETRY_AFTER,
        header::VARY,
        header::WARNING,
        header::FORWARDED,
        HeaderName::from_static("x-real-ip"),
    ];
    !FORBIDDEN.contains(name) && !name.as_str().starts_with("x-forwarded-") && !client_identity::is_claim(name.as_str())
}
