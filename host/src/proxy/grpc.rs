//! What a gRPC client expects of whoever stands between it and its server: that its deadline holds, and that answers made here are gRPC's.
//! Calls are told by their content type; messages are not looked at.

use crate::message::{BodyError, RequestHead};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use std::time::Duration;

const CONTENT_TYPE: &str = "application/grpc";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is a call of gRPC over HTTP/2 ("gRPC over HTTP2", Requests). gRPC-Web is HTTP like any other.
pub(super) fn is_call(head: &RequestHead, version: Version) -> bool {
    // Looked at first, so that other requests pay for no look into their fields.
    version == Version::HTTP_2 && head.method == Method::POST && is_grpc(&head.headers)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().strip_prefix(CONTENT_TYPE.as_bytes()));
    matches!(kind, Some([] | [b'+' | b';', ..]))
}

/// The time that the client gives the call, of which we see what is left ("gRPC over HTTP2", Timeout). One that cannot be read is none.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(TIMEOUT)?.as_bytes().split_last()?;
    let sound = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number = digits.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')));
    let time = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    sound.then_some(time)
}

/// Turns the head of an answer that was made here into gRPC's: 200, and what happened in fields that are head and trailers in one
/// ("Trailers-Only"). `reason`: the token, if the proxy itself has one. Whether that was to be done: an answer may be gRPC's already.
pub(super) fn translate(status: &mut StatusCode, headers: &mut HeaderMap, reason: Option<&'static str>) -> bool {
    if is_grpc(headers) {
        return false;
    }
    headers.remove(header::CONTENT_ENCODING);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(STATUS, HeaderValue::from(code(*status, reason)));
    headers.insert(MESSAGE, HeaderValue::from_static(reason.or(status.canonical_reason()).unwrap_or_default()));
    *status = StatusCode::OK;
    true
}

/// The end of a call whose response cannot be had to its end; `None`: the client knows why, or is gone.
pub(super) fn cut_off(error: &BodyError) -> Option<HeaderMap> {
    let code = match error {
        BodyError::ClientMalformed(_) | BodyError::ClientGone(_) | BodyError::ClientStalled => return None,
        BodyError::Expired => DEADLINE_EXCEEDED,
        BodyError::OriginMalformed(_) | BodyError::Plugin(_) => INTERNAL,
        BodyError::OriginGone(_) | BodyError::OriginStalled => UNAVAILABLE,
    };
    let trailers = [(STATUS, HeaderValue::from(code)), (MESSAGE, HeaderValue::from_static(error.reason()))];
    Some(trailers.into_iter().collect())
}

const UNKNOWN: u16 = 2;
const DEADLINE_EXCEEDED: u16 = 4;
const PERMISSION_DENIED: u16 = 7;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// As clients themselves read statuses of HTTP (gRPC's http-grpc-status-mapping.md), but for the deadline, of which we know better.
fn code(status: StatusCode, reason: Option<&str>) -> u16 {
    match status.as_u16() {
        _ if reason == Some("exchange_timeout") => DEADLINE_EXCEEDED,
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    #[test]
    fn calls_are_told_by_their_content_type() {
        let kinds = [("application/grpc", true), ("application/grpc+proto", true), ("application/grpc;x=1", true)];
        for (kind, is) in kinds.into_iter().chain([("application/grpc-web", false), ("application/json", false), ("", false)]) {
            assert_eq!(is_grpc(&fields(&[("content-type", kind)])), is, "{kind}");
        }
    }

    #[test]
    fn timeouts_are_up_to_eight_digits_and_a_unit() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("7u", Some(Duration::from_micros(7))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("1s", None),
            ("-1S", None),
        ];
        for (text, time) in cases {
            assert_eq!(timeout(&fields(&[("grpc-timeout", text)])), time, "{text}");
        }
    }

    #[test]
    fn answers_become_trailers_unless_they_are_already() {
        let mut status = StatusCode::SERVICE_UNAVAILABLE;
        let mut headers = fields(&[("content-type", "text/plain"), ("retry-after", "1")]);
        assert!(translate(&mut status, &mut headers, Some("upstream_busy")));
        let want =
            fields(&[("content-type", "application/grpc"), ("retry-after", "1"), ("grpc-status", "14"), ("grpc-message", "upstream_busy")]);
        assert_eq!((status, headers), (StatusCode::OK, want));
        let mut own = fields(&[("content-type", "application/grpc"), ("grpc-status", "5")]);
        assert!(!translate(&mut status, &mut own, None) && own.len() == 2);
    }

    #[test]
    fn statuses_are_as_clients_would_read_them() {
        let codes = [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (200, 2), (500, 2), (418, 2)];
        for (status, wanted) in codes {
            assert_eq!(code(StatusCode::from_u16(status).expect("a status"), None), wanted, "{status}");
        }
        assert_eq!(code(StatusCode::GATEWAY_TIMEOUT, Some("exchange_timeout")), 4);
    }
}
