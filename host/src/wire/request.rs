//! Request heads (RFC 9112, section 3), from the lines of a complete one.

use super::fields::{self, Facts, Keep};
use super::lines::{Broken, Lines};
use super::{Framing, target};
use crate::message::{Malformed, Target};
use bytes::Bytes;
use http::{HeaderMap, Method, Version, header};
use memchr::memchr;

/// A request head as received. `headers` has every field.
#[derive(Debug)]
pub struct ReceivedHead {
    pub method: Method,
    pub target: Target,
    /// 1.0 or 1.1.
    pub version: Version,
    pub headers: HeaderMap,
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body (RFC 9110, section 10.1.1). Only if there is one.
    pub expects_continue: bool,
    /// An `Upgrade` field that `Connection` lists (RFC 9110, section 7.8).
    pub wants_upgrade: bool,
}

/// `head` is complete and `lines` are its lines.
pub(super) fn parse(head: &Bytes, lines: &Lines) -> Result<ReceivedHead, Malformed> {
    let mut each = lines.iter();
    let (method, target, version) = each.next().and_then(|line| request_line(head, line)).ok_or(Malformed::RequestLine)??;
    // The proxy adds a few fields; let it do so without growing the map.
    let mut headers = HeaderMap::with_capacity(lines.len() + 5);
    let mut facts = Facts::default();
    for line in each {
        fields::parse_line(head, line, Keep::All, &mut headers, &mut facts)?;
    }
    check_host(&headers, &facts, version)?;
    let framing = facts.framing(version)?.unwrap_or(Framing::None);
    Ok(ReceivedHead {
        expects_continue: facts.expects_continue && version == Version::HTTP_11 && !matches!(framing, Framing::None | Framing::Length(0)),
        wants_upgrade: facts.upgrade && facts.upgrade_listed && version == Version::HTTP_11,
        keep_alive: facts.persists(version),
        method,
        target,
        version,
        headers,
        framing,
    })
}

type RequestLine = (Method, Target, Version);

/// `method SP target SP version`; `None` if it is not of that shape at all.
fn request_line(head: &Bytes, (start, end): (usize, usize)) -> Option<Result<RequestLine, Malformed>> {
    let line = head.get(start..end)?;
    let method_end = memchr(b' ', line)?;
    let method = Method::from_bytes(line.get(..method_end)?).ok()?;
    let target_start = method_end + 1;
    let target_end = target_start + memchr(b' ', line.get(target_start..)?)?;
    let version = match line.get(target_end + 1..)? {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        other => return Some(Err(other_version(other))),
    };
    let text = head.slice(start + target_start..start + target_end);
    Some(target::parse(&method, text).map(|target| (method, target, version)))
}

fn other_version(text: &[u8]) -> Malformed {
    match text.strip_prefix(b"HTTP/") {
        Some(number) if !number.is_empty() && number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.')) => Malformed::Version,
        _ => Malformed::RequestLine,
    }
}

/// RFC 9112, section 3.2: exactly one on HTTP/1.1, at most one on HTTP/1.0, and always a host.
fn check_host(headers: &HeaderMap, facts: &Facts, version: Version) -> Result<(), Malformed> {
    match (facts.hosts, version) {
        (0, Version::HTTP_10) => Ok(()),
        (1, _) if headers.get(header::HOST).is_some_and(|host| target::is_authority(host.as_bytes())) => Ok(()),
        _ => Err(Malformed::Host),
    }
}

impl From<Broken> for Malformed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::StartLine => Self::RequestLine,
            Broken::StartLineTooLong => Self::RequestLineTooLong,
            Broken::Field => Self::Field,
            Broken::ObsoleteFolding => Self::ObsoleteFolding,
            Broken::BareLineBreak => Self::BareLineBreak,
            Broken::FieldsTooLarge => Self::FieldsTooLarge,
            Broken::TooManyFields => Self::TooManyFields,
            Broken::LengthAndChunked => Self::LengthAndChunked,
            Broken::ContentLength => Self::ContentLength,
            Broken::TransferEncoding => Self::TransferEncoding,
        }
    }
}

#[cfg(test)]
mod tests;
