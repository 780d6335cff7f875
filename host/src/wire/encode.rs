//! Heads out. Names go out in lower case, as `http` holds them. Framing fields come from the [`Coding`] alone, whatever the map says.

use super::date::put_date;
use super::outbox::Coding;
use crate::message::RequestHead;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

/// What the `Connection` field of a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// No field: HTTP/1.1 connections go on.
    Implied,
    Close,
    /// For HTTP/1.0 clients that asked for it.
    KeepAlive,
    /// For 101. The `Upgrade` field is taken from the map.
    Upgrade,
}

/// Appends a request head in origin-form (RFC 9112, section 3.2.1) with `Host`, and a `Connection` that lists `upgrade` where that is
/// wanted and `TE` where it is there (RFC 9110, section 10.1.4: an origin may not heed it otherwise).
pub fn put_request(out: &mut Vec<u8>, head: &RequestHead, coding: Coding, upgrade: Option<&HeaderValue>) {
    let query = head.query.as_deref();
    out.reserve(128 + head.path.len() + query.map_or(0, str::len) + head.authority.len() + size(&head.headers));
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.path.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(head.authority.as_bytes());
    out.extend_from_slice(b"\r\n");
    put_fields(out, &head.headers, coding);
    put_coding(out, coding);
    let te = head.headers.contains_key(header::TE);
    if let Some(protocol) = upgrade {
        out.extend_from_slice(if te { b"connection: upgrade, te\r\nupgrade: " } else { b"connection: upgrade\r\nupgrade: " });
        out.extend_from_slice(protocol.as_bytes());
        out.extend_from_slice(b"\r\n");
    } else if te {
        out.extend_from_slice(b"connection: te\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head (RFC 9112, section 4), with `Date` if the map has none. `now` only picks the cached date.
pub fn put_response(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap, coding: Coding, persistence: Persistence, now: Instant) {
    out.reserve(160 + size(headers));
    put_status_line(out, status);
    put_fields(out, headers, coding);
    put_coding(out, coding);
    if !status.is_informational() && !headers.contains_key(header::DATE) {
        out.extend_from_slice(b"date: ");
        put_date(out, now);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(match persistence {
        Persistence::Implied => b"\r\n",
        Persistence::Close => b"connection: close\r\n\r\n",
        Persistence::KeepAlive => b"connection: keep-alive\r\n\r\n",
        Persistence::Upgrade => b"connection: upgrade\r\n\r\n",
    });
}

fn put_status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Room for the field lines.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn put_fields(out: &mut Vec<u8>, headers: &HeaderMap, coding: Coding) {
    for (name, value) in headers {
        if !is_framing(name, coding) {
            put_field(out, name, value);
        }
    }
}

pub(super) fn put_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `Content-Length` may pass where no body follows: for HEAD and 304 it describes one.
fn is_framing(name: &HeaderName, coding: Coding) -> bool {
    match name.as_str().len() {
        14 => name == header::CONTENT_LENGTH && coding != Coding::None,
        17 => name == header::TRANSFER_ENCODING,
        10 => name == header::CONNECTION,
        _ => false,
    }
}

fn put_coding(out: &mut Vec<u8>, coding: Coding) {
    match coding {
        Coding::None | Coding::UntilClose => {}
        Coding::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Coding::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn put_decimal(out: &mut Vec<u8>, mut number: u64) {
    put_digits(out, |digit| {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        number != 0
    });
}

pub(super) fn put_hex(out: &mut Vec<u8>, mut number: u64) {
    put_digits(out, |digit| {
        *digit = char::from_digit((number & 15) as u32, 16).map_or(b'0', |digit| digit as u8);
        number >>= 4;
        number != 0
    });
}

/// Digits from the last to the first; `next` writes one and says whether there are more. 20: as many as 64 bits have.
fn put_digits(out: &mut Vec<u8>, mut next: impl FnMut(&mut u8) -> bool) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        used += 1;
        if !next(digit) {
            break;
        }
    }
    out.extend_from_slice(digits.split_at(20 - used).1);
}

#[cfg(test)]
mod tests;
