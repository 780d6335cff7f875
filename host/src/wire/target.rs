//! Request targets (RFC 9112, section 3.2) and `Host` (section 7.2 of RFC 9110): which bytes may stand in them. Normalising is `proxy`'s.

use crate::message::{Malformed, Target};
use bytes::Bytes;
use bytestring::ByteString;
use http::Method;
use memchr::memchr;

/// Sorts the target into one of the four forms.
pub fn parse(method: &Method, text: Bytes) -> Result<Target, Malformed> {
    match text.first() {
        _ if method == Method::CONNECT => authority_form(text),
        Some(b'/') => Ok(Target { authority: None, path_and_query: path_and_query(text)? }),
        Some(b'*') if text.len() == 1 && method == Method::OPTIONS => {
            Ok(Target { authority: None, path_and_query: ByteString::from_static("*") })
        }
        _ => absolute_form(method, &text),
    }
}

fn authority_form(text: Bytes) -> Result<Target, Malformed> {
    if !is_authority(&text) || !text.contains(&b':') {
        return Err(Malformed::Target);
    }
    Ok(Target { authority: Some(string(text)?), path_and_query: ByteString::new() })
}

fn absolute_form(method: &Method, text: &Bytes) -> Result<Target, Malformed> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let rest = text.slice(scheme.ok_or(Malformed::Target)?.len()..);
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.slice(..end);
    // `@` is no host byte, so user information, which section 4.2.4 of RFC 9110 forbids, is refused here too.
    if !is_authority(&authority) {
        return Err(Malformed::Target);
    }
    let path = rest.slice(end..);
    let path_and_query = match path.first() {
        Some(b'/') => path_and_query(path)?,
        None if method == Method::OPTIONS => ByteString::from_static("*"),
        None => ByteString::from_static("/"),
        Some(_) => path_and_query([b"/", &path[..]].concat().into())?,
    };
    Ok(Target { authority: Some(string(authority)?), path_and_query })
}

fn string(text: Bytes) -> Result<ByteString, Malformed> {
    ByteString::try_from(text).map_err(|_| Malformed::Target)
}

/// Checks origin-form. In paths: RFC 3986 and what browsers leave as it is (`[`, `]`, `|`); percent-encoding must be whole, since the
/// proxy decodes it. In queries also the rest that browsers send raw (WHATWG URL), including a `%` that encodes nothing.
fn path_and_query(text: Bytes) -> Result<ByteString, Malformed> {
    let path_end = memchr(b'?', &text).unwrap_or(text.len());
    let (path, query) = text.split_at(path_end);
    let sound =
        path.iter().all(|&byte| class(byte) & PATH != 0) && query.iter().all(|&byte| class(byte) & QUERY != 0) && percent_is_whole(path);
    if sound { string(text) } else { Err(Malformed::Target) }
}

fn percent_is_whole(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).all(|at| path.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)))
}

/// `host [":" port]`. Narrower than RFC 3986: a name has letters, digits, `-`, `.` and `_` only, because it is compared with
/// configured names and written into `Forwarded`; and a colon has a port behind it.
pub fn is_authority(text: &[u8]) -> bool {
    let (host_is_sound, port) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr(b']', rest) else { return false };
            let (address, port) = rest.split_at(end);
            let sound = std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            (sound, port.get(1..).unwrap_or_default())
        }
        _ => {
            let (host, port) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
            (!host.is_empty() && host.iter().all(|&byte| class(byte) & HOST != 0), port)
        }
    };
    host_is_sound
        && match port {
            [] => true,
            [b':', digits @ ..] => {
                !digits.is_empty()
                    && digits.len() <= 5
                    && digits.iter().all(u8::is_ascii_digit)
                    && std::str::from_utf8(digits).is_ok_and(|port| port.parse::<u16>().is_ok())
            }
            _ => false,
        }
}

const PATH: u8 = 1;
const QUERY: u8 = 2;
const HOST: u8 = 4;

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => PATH | QUERY | HOST,
            b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'%' | b'['
            | b']' | b'|' => PATH | QUERY,
            b'?' | b'\\' | b'^' | b'`' | b'{' | b'}' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
