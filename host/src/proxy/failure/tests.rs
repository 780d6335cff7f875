//! The table is sound, every failure is in it, and what a client is told.

use super::*;
use crate::message::BodyError;
use crate::upstream::InsideFault;
use std::collections::BTreeSet;
use std::io;

/// RFC 9209, section 2.3.
const ERROR_TYPES: &str = "dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited \
    destination_ip_unroutable connection_refused connection_terminated connection_timeout connection_read_timeout \
    connection_write_timeout connection_limit_reached tls_protocol_error tls_certificate_error tls_alert_received http_request_error \
    http_request_denied http_response_incomplete http_response_header_section_size http_response_header_size \
    http_response_body_size http_response_trailer_section_size http_response_trailer_size http_response_transfer_coding \
    http_response_content_coding http_response_timeout http_upgrade_failed http_protocol_error proxy_internal_response \
    proxy_internal_error proxy_configuration_error proxy_loop_detected";

fn every_failure() -> Vec<Failure> {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let bodies = vec![
        BodyError::ClientMalformed("x"),
        BodyError::ClientGone(None),
        BodyError::ClientStalled,
        BodyError::OriginMalformed("x"),
        BodyError::OriginGone(None),
        BodyError::OriginStalled,
        BodyError::Expired,
    ];
    let sends = vec![
        SendError::Connect(refused),
        SendError::Connect(io::ErrorKind::NotFound.into()),
        SendError::ConnectTimeout,
        SendError::NoServers,
        SendError::Certificate(io::ErrorKind::InvalidData.into()),
        SendError::Alert(io::ErrorKind::InvalidData.into()),
        SendError::Handshake(io::ErrorKind::InvalidData.into()),
        SendError::Reset(None),
        SendError::Refused,
        SendError::ResponseTimeout,
        SendError::Malformed(crate::wire::MalformedResponse::StatusLine),
        SendError::Inside(InsideFault::Trap),
        SendError::Inside(InsideFault::Timeout),
        SendError::Inside(InsideFault::Memory),
        SendError::Inside(InsideFault::Answer),
        SendError::Inside(InsideFault::Overload),
        SendError::Expired,
        SendError::Busy,
        SendError::Drained,
        SendError::Overloaded(io::ErrorKind::OutOfMemory.into()),
    ];
    let causes = [Cause::Trap, Cause::Timeout, Cause::Memory, Cause::BadOutput, Cause::Overload];
    let mut all = vec![
        Failure::Outlived,
        BadTarget::Form.into(),
        BadHost.into(),
        Failure::Method(Method::CONNECT),
        Failure::LastHop,
        Failure::Proof("token.thumbprint".into()),
        Failure::Insecure(HeaderValue::from_static("https://a.test/")),
        Failure::Misdirected,
        Failure::OtherClientAuth,
        Failure::NoSite,
        Failure::Injected(418),
        Failure::NoRoute,
        Failure::NoDestination,
        Failure::BodyTooLarge,
        Failure::ResponseTooLarge,
        Failure::BuffersFull,
    ];
    all.extend(Malformed::ALL.iter().copied().map(Failure::Malformed));
    all.extend(causes.map(Failure::Plugin));
    all.extend(sends.into_iter().chain(bodies.into_iter().map(SendError::Client)).map(Failure::Send));
    all
}

#[test]
fn table_is_sound() {
    let tokens: BTreeSet<_> = REASONS.iter().map(|reason| reason.token).collect();
    assert_eq!(tokens.len(), REASONS.len(), "tokens are unique");
    assert_eq!(Reason::INTERNAL.token, "internal");
    for reason in REASONS {
        assert!(reason.token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{}", reason.token);
        assert!(reason.error.is_none_or(|error| ERROR_TYPES.split_whitespace().any(|known| known == error)), "{}", reason.token);
        assert!(reason.meaning.ends_with('.') && !reason.meaning.contains('\n'), "{}", reason.token);
    }
}

#[test]
fn every_failure_is_in_the_table_and_every_row_is_used() {
    let used: BTreeSet<_> =
        every_failure().iter().map(Failure::token).chain(["plugin_abort", "upgraded_idle", "stopped", "internal"]).collect();
    let listed: BTreeSet<_> = REASONS.iter().map(|reason| reason.token).collect();
    assert_eq!(used, listed);
}

#[test]
fn reply_says_the_token_and_nothing_of_others() {
    let secret = SendError::Connect(io::Error::other("10.0.0.7 says: s3cret"));
    let reply = Failure::Send(secret).reply(ExchangeId(0xabc)).expect("an answer");
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(reply.headers["proxy-status"], "portcullis; error=destination_unavailable; details=\"connect_failed\"");
    assert_eq!(reply.body, "502 Bad Gateway: connect_failed\nexchange 0000000000000abc\n");
}

#[test]
fn statuses_that_peers_rely_on() {
    let cases = [
        (Failure::Malformed(Malformed::LengthAndChunked), 400),
        (Failure::Malformed(Malformed::RequestLineTooLong), 414),
        (Failure::Malformed(Malformed::FieldsTooLarge), 431),
        (Failure::Malformed(Malformed::TooManyFields), 431),
        (Failure::Malformed(Malformed::Version), 505),
        (Failure::Malformed(Malformed::Timeout), 408),
        (Failure::Misdirected, 421),
        (Failure::NoRoute, 404),
        (Failure::NoDestination, 500),
        (Failure::Plugin(Cause::Overload), 503),
        (Failure::Send(SendError::ResponseTimeout), 504),
        (Failure::Send(SendError::Malformed(crate::wire::MalformedResponse::Field)), 502),
    ];
    for (failure, status) in cases {
        assert_eq!(failure.reply(ExchangeId(1)).map(|reply| reply.status.as_u16()), Some(status), "{failure}");
    }
}

#[test]
fn redirect_is_no_error_and_a_client_that_left_gets_nothing() {
    let reply = Failure::Insecure(HeaderValue::from_static("https://a.test/x")).reply(ExchangeId(1)).expect("an answer");
    assert_eq!((reply.status.as_u16(), &reply.headers["location"]), (308, &HeaderValue::from_static("https://a.test/x")));
    assert!(!reply.headers.contains_key("proxy-status"));
    assert!(Failure::Send(SendError::Client(BodyError::ClientGone(None))).reply(ExchangeId(1)).is_none());
}
