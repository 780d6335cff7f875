//! gRPC's own health check (grpc.health.v1): one call, whose messages are small enough to be written and read by hand.

use super::{h2, shown};
use crate::message::RequestHead;
use crate::upstream::io::OriginIo;
use crate::wire::Coding;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckResponse.ServingStatus` of a server that is well.
const SERVING: u64 = 1;

/// Asks whether `service` is served; empty: the server as a whole.
pub(super) async fn serves(io: OriginIo, settings: h2::Settings, mut head: RequestHead, service: &str) -> Result<(), String> {
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let request = h2::head(&head, head.scheme, Coding::Chunked).ok_or("the server's name is none that can be asked for")?;
    let reply = h2::ask(io, settings, request, question(service)).await.map_err(|error| shown(&error))?;
    if reply.status != StatusCode::OK {
        return Err(format!("it answered {}", reply.status.as_u16()));
    }
    // With nothing to say, a server has its trailers in the head.
    let status = said(&reply.trailers).or_else(|| said(&reply.headers)).ok_or("it answered without grpc-status")?;
    match (status, serving(&reply.body)) {
        ("0", Some(SERVING)) => Ok(()),
        ("0", Some(other)) => {
            Err(format!("it says {}", ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].get(other as usize).unwrap_or(&"neither")))
        }
        ("0", None) => Err("its answer is none".to_owned()),
        ("5", _) => Err(format!("it has no service `{service}` (grpc-status 5)")),
        ("12", _) => Err("it has no health service (grpc-status 12)".to_owned()),
        (other, _) => Err(format!("it answered grpc-status {other}")),
    }
}

fn said(fields: &HeaderMap) -> Option<&str> {
    fields.get("grpc-status").and_then(|status| status.to_str().ok())
}

/// A message `HealthCheckRequest { string service = 1; }` behind its length (gRPC over HTTP/2, "Length-Prefixed-Message").
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

/// The `status` of a `HealthCheckResponse { ServingStatus status = 1; }`; 0 if it is not there, as of every field.
fn serving(body: &[u8]) -> Option<u64> {
    let (head, message) = body.split_at_checked(5)?;
    let (flag, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
    // Compressed ones are for clients that said that they take them.
    let mut message = message.get(..length).filter(|_| *flag == 0)?;
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_as_protobuf_has_them() {
        assert_eq!(&*question(""), b"\0\0\0\0\0");
        assert_eq!(&*question("a.B"), b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(question(&"x".repeat(200)).get(5..8), Some(&b"\x0a\xc8\x01"[..]));
    }

    #[test]
    fn answers_are_read_whatever_else_they_have() {
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(serving(b"\0\0\0\0\0"), Some(0));
        assert_eq!(serving(b"\0\0\0\0\x0a\x12\x01x\x1d\0\0\0\0\x08\x02"), Some(2));
        for broken in [&b""[..], b"\0\0\0\0\x03\x08\x01", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x01\x08", b"\0\0\0\0\x02\x12\x09"] {
            assert_eq!(serving(broken), None, "{broken:?}");
        }
    }
}
