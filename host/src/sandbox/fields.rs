//! Which header fields, names and values a plugin may touch.

use super::lift::BadOutput;
use super::recent;
use crate::message::Exchange;
use bytestring::ByteString;
use http::{HeaderName, HeaderValue, Method, StatusCode};

/// Hop-by-hop and framing fields (`wit/types.wit`, `header`): never shown, never edited. What they say is the proxy's business, and a
/// plugin that could set them could smuggle requests.
#[inline]
pub(super) fn is_hidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "transfer-encoding" | "content-length" | "keep-alive" | "te" | "trailer" | "upgrade" | "proxy-connection" | "host"
    )
}

#[inline]
pub(super) fn name(bytes: &[u8]) -> Result<HeaderName, BadOutput> {
    recent::name(bytes, |bytes| {
        let name = HeaderName::from_bytes(bytes).map_err(|_| BadOutput::quoting("not a header name", bytes))?;
        if is_hidden(&name) {
            return Err(BadOutput::quoting("a header that plugins cannot edit", bytes));
        }
        Ok(name)
    })
}

/// Without surrounding white space, which is not part of a value (RFC 9110, section 5.5) and malformed in HTTP/2.
#[inline]
pub(super) fn value(bytes: &[u8]) -> Result<HeaderValue, BadOutput> {
    recent::value(trim(bytes), |bytes| HeaderValue::from_bytes(bytes).map_err(|_| BadOutput::quoting("not a header value", bytes)))
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `CONNECT` asks for a tunnel, which would change what the bytes after the head mean.
pub(super) fn method(text: &str) -> Result<Method, BadOutput> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) => Err(BadOutput::new("CONNECT cannot be forwarded")),
        Ok(method) => Ok(method),
        Err(_) => Err(BadOutput::quoting("not a method", text.as_bytes())),
    }
}

/// `host` or `host:port`, no user information; lower case.
pub(super) fn authority(text: &str) -> Result<ByteString, BadOutput> {
    let parsed = text.parse::<http::uri::Authority>().ok().filter(|_| !text.contains('@'));
    match parsed {
        Some(authority) if !authority.host().is_empty() && port_is_sound(&authority) => {
            Ok(ByteString::from(authority.as_str().to_ascii_lowercase()))
        }
        _ => Err(BadOutput::quoting("not an authority", text.as_bytes())),
    }
}

/// `http` parses `host:` and `host:99999` too.
fn port_is_sound(authority: &http::uri::Authority) -> bool {
    authority.port_u16().is_some() || authority.as_str().len() == authority.host().len()
}

pub(super) fn path(text: &str) -> Result<ByteString, BadOutput> {
    if text.starts_with('/') && !text.contains('?') && is_target(text) {
        return Ok(ByteString::from(text));
    }
    Err(BadOutput::quoting("not a path", text.as_bytes()))
}

pub(super) fn query(text: &str) -> Result<ByteString, BadOutput> {
    if is_target(text) {
        return Ok(ByteString::from(text));
    }
    Err(BadOutput::quoting("not a query", text.as_bytes()))
}

/// No byte that would end the request target or the line, or that is not ASCII (RFC 3986 has neither).
fn is_target(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

pub(super) fn attribute_name(text: &str) -> Result<ByteString, BadOutput> {
    let sound = !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound {
        return Err(BadOutput::quoting("not an attribute name", text.as_bytes()));
    }
    if Exchange::is_reserved(text) {
        return Err(BadOutput::quoting("an attribute that only the proxy sets", text.as_bytes()));
    }
    Ok(ByteString::from(text))
}

/// 200 to 599. 1xx are not answers (RFC 9110, section 15.2).
pub(super) fn status(code: u16) -> Result<StatusCode, BadOutput> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..600).contains(&code))
        .ok_or_else(|| BadOutput::new(format!("not the status of an answer: {code}")))
}

/// Whether an answer of this status can have a body (RFC 9110, sections 15.3.5 and 15.4.5).
pub(super) fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_with_an_optional_port() {
        for good in ["example.com", "Example.com:8080", "[::1]:80", "10.0.0.1"] {
            assert_eq!(authority(good).unwrap(), *good.to_ascii_lowercase());
        }
        for bad in ["", "a b", "user@host", "host:", "host:99999", ":80", "a/b", "a?b", "a\r\nb"] {
            assert!(authority(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_and_queries_cannot_leave_the_target() {
        assert!(path("/a/b%20c").is_ok());
        for bad in ["", "a", "/a b", "/a?b", "/a#b", "/a\r\n", "/ä", "*"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
        assert!(query("a=b?c").is_ok());
        for bad in ["a b", "a#b", "a\n", "ä"] {
            assert!(query(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_are_trimmed_but_never_mended() {
        assert_eq!(value(b" \ta b\t ").unwrap(), "a b");
        assert_eq!(value(b"").unwrap(), "");
        for bad in [&b"a\r\nb: c"[..], b"a\n", b"a\0", b"\r\n a"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn hidden_fields_are_hidden_in_any_case() {
        for hidden in ["Content-Length", "transfer-encoding", "HOST", "TE"] {
            assert!(name(hidden.as_bytes()).is_err(), "{hidden}");
        }
        assert_eq!(name(b"X-A").unwrap(), "x-a");
    }
}
