//! Response heads (RFC 9112, section 4), from the lines of a complete one. As strict as for requests: what an origin gets wrong must
//! not be repaired into something else, nor left on a connection that is used again.

use super::Framing;
use super::fields::{self, Facts, Keep};
use super::lines::{Broken, Lines};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version};

/// A response head as received, with its framing fields taken out: `Transfer-Encoding` always, `Content-Length` unless it only
/// describes (HEAD, 304). Hop-by-hop fields are still there.
#[derive(Debug)]
pub struct ReceivedResponse {
    pub status: StatusCode,
    /// 1.0 or 1.1.
    pub version: Version,
    pub headers: HeaderMap,
    pub framing: Framing,
    /// Whether the connection may carry another request after this response.
    pub keep_alive: bool,
}

/// Why a response head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MalformedResponse {
    #[error("not a status line")]
    StatusLine,
    #[error("an HTTP version other than 1.0 and 1.1")]
    Version,
    #[error("a field line that is not `name: value`")]
    Field,
    #[error("a field line continued on the next")]
    ObsoleteFolding,
    #[error("CR without LF, or LF without CR")]
    BareLineBreak,
    #[error("a head larger than the limit")]
    TooLarge,
    #[error("more field lines than the limit")]
    TooManyFields,
    #[error("Transfer-Encoding beside Content-Length")]
    LengthAndChunked,
    #[error("a Content-Length that is no number, or repeated")]
    ContentLength,
    #[error("a transfer coding other than chunked, or on HTTP/1.0")]
    TransferEncoding,
    #[error("a body that breaks its framing: {0}")]
    Body(&'static str),
    #[error("too many interim responses")]
    TooManyInterim,
    #[error("101 without having been asked to switch protocols")]
    UnexpectedSwitch,
    #[error("what HTTP/2 forbids")]
    Http2,
}

/// `head` is complete and `lines` are its lines; `to` is the request's method.
pub(super) fn parse(head: &Bytes, lines: &Lines, to: &Method) -> Result<ReceivedResponse, MalformedResponse> {
    let mut each = lines.iter();
    let line = each.next().and_then(|(start, end)| head.get(start..end)).ok_or(MalformedResponse::StatusLine)?;
    let (version, status) = status_line(line)?;
    let described = to == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    let keep = if described { Keep::Length } else { Keep::Neither };
    let mut headers = HeaderMap::with_capacity(lines.len() + 3);
    let mut facts = Facts::default();
    for line in each {
        fields::parse_line(head, line, keep, &mut headers, &mut facts)?;
    }
    let stated = facts.framing(version)?;
    let bodiless = described || status.is_informational() || status == StatusCode::NO_CONTENT;
    let framing = if bodiless { Framing::None } else { stated.unwrap_or(Framing::UntilClose) };
    // A status that has no body, with fields that announce one: whether bytes follow is anybody's guess, so nothing may come after.
    let doubtful = bodiless && !described && !matches!(stated, None | Some(Framing::Length(0)));
    let keep_alive = facts.persists(version) && framing != Framing::UntilClose && !doubtful;
    Ok(ReceivedResponse { status, version, headers, framing, keep_alive })
}

/// `version SP 3DIGIT [SP reason]`. The second space is often left out with an empty reason; that is harmless. The reason is not kept.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), MalformedResponse> {
    let (version, rest) = line.split_at_checked(8).ok_or(MalformedResponse::StatusLine)?;
    let version = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(MalformedResponse::Version);
        }
        _ => return Err(MalformedResponse::StatusLine),
    };
    let (code, reason) = rest.strip_prefix(b" ").and_then(|rest| rest.split_at_checked(3)).ok_or(MalformedResponse::StatusLine)?;
    let sound = match reason {
        [] => true,
        [b' ', reason @ ..] => reason.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)),
        _ => false,
    };
    let status = StatusCode::from_bytes(code).ok().filter(|_| sound).ok_or(MalformedResponse::StatusLine)?;
    Ok((version, status))
}

impl From<Broken> for MalformedResponse {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::StartLine => Self::StatusLine,
            Broken::StartLineTooLong | Broken::FieldsTooLarge => Self::TooLarge,
            Broken::Field => Self::Field,
            Broken::ObsoleteFolding => Self::ObsoleteFolding,
            Broken::BareLineBreak => Self::BareLineBreak,
            Broken::TooManyFields => Self::TooManyFields,
            Broken::LengthAndChunked => Self::LengthAndChunked,
            Broken::ContentLength => Self::ContentLength,
            Broken::TransferEncoding => Self::TransferEncoding,
        }
    }
}

#[cfg(test)]
mod tests;
