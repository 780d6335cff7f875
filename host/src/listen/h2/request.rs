//! From `h2`'s requests to ours, held to the same limits and the same syntax as over HTTP/1.1: what comes out of here is written into
//! an HTTP/1.1 request (RFC 9113, section 10.3).

use super::reply::Reply;
use crate::config::Limits;
use crate::listen::body::Body;
use crate::message::{BodyError, Interim, Malformed, Received, Target};
use crate::wire::{self, Deadline};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use h2::RecvStream;
use http::Version;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http_body::{Frame, SizeHint};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Takes a request as `h2` hands it out. It has already refused fields that HTTP/2 forbids (section 8.2.2). `incoming`: where its body
/// comes from, if it has one.
pub fn receive(
    mut parts: Parts,
    incoming: Option<RecvStream>,
    limits: &Limits,
    (reply, interim): (&Rc<Reply>, Interim),
) -> Result<Received<Body>, Malformed> {
    check_size(&parts, limits)?;
    check_values(&parts.headers)?;
    let length = length(&parts.headers);
    let authority = authority(&parts)?;
    let target = target(&parts, authority)?;
    join_cookies(&mut parts.headers);
    let body = incoming.filter(|incoming| !incoming.is_end_stream()).map_or_else(Body::empty, |incoming| {
        let waits = parts.headers.get(header::EXPECT).is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let reply = waits.then(|| Rc::clone(reply));
        Body::http2(StreamBody { incoming, left: length, reply, idle: limits.body_idle, deadline: Deadline::default(), waiting: false })
    });
    Ok(Received { method: parts.method, target, version: Version::HTTP_2, headers: parts.headers, body, interim })
}

/// What `Content-Length` says. `h2` holds the client to it, and has refused what is no number or more than one (section 8.1.1).
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_size(parts: &Parts, limits: &Limits) -> Result<(), Malformed> {
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    if parts.method.as_str().len() + authority + target > limits.request_line {
        return Err(Malformed::RequestLineTooLong);
    }
    if parts.headers.len() > limits.header_count {
        return Err(Malformed::TooManyFields);
    }
    // Four more for `: ` and the line break that each has over HTTP/1.1.
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.header_bytes { Err(Malformed::FieldsTooLarge) } else { Ok(()) }
}

/// No white space at either end of a value (RFC 9113, section 8.2.1): the origin, over HTTP/1.1, would not see it, but whatever compares
/// values here would.
fn check_values(headers: &HeaderMap) -> Result<(), Malformed> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let sound = |value: &HeaderValue| !blank(value.as_bytes().first()) && !blank(value.as_bytes().last());
    if headers.values().all(sound) { Ok(()) } else { Err(Malformed::Http2) }
}

/// `:authority`, or `Host` where there is none. Both must be the same: which one the origin's side looks at is not ours to guess.
fn authority(parts: &Parts) -> Result<ByteString, Malformed> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let text = match (parts.uri.authority(), host) {
        _ if more.is_some() => return Err(Malformed::Http2),
        (Some(authority), Some(host)) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            return Err(Malformed::Http2);
        }
        (Some(authority), _) => authority.as_str().as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Malformed::Host),
    };
    if !wire::is_authority(text) {
        return Err(Malformed::Host);
    }
    ByteString::try_from(text).map_err(|_| Malformed::Host)
}

fn target(parts: &Parts, authority: ByteString) -> Result<Target, Malformed> {
    let path = match parts.uri.path_and_query() {
        // CONNECT, whose target is the authority alone (section 8.5); what asks for another protocol besides is refused as it is.
        _ if parts.method == http::Method::CONNECT => return Ok(Target { authority: Some(authority), path_and_query: ByteString::new() }),
        None => return Ok(Target { authority: Some(authority), path_and_query: ByteString::new() }),
        Some(path) => Bytes::copy_from_slice(path.as_str().as_bytes()),
    };
    let target = wire::parse_target(&parts.method, path)?;
    match target.authority {
        // `:path` in absolute-form is none of section 8.3.1's.
        Some(_) => Err(Malformed::Target),
        None => Ok(Target { authority: Some(authority), ..target }),
    }
}

/// Cookies may come in crumbs to compress better; over HTTP/1.1 they must be one field (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = BytesMut::new();
    for crumb in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Made of valid values, so it is one.
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(header::COOKIE, joined);
    }
}

/// A request's body over HTTP/2, with the time for pauses.
pub struct StreamBody {
    incoming: RecvStream,
    /// Bytes to come, if that was stated.
    left: Option<u64>,
    /// Through which the client is told to go on, if it waits for that.
    reply: Option<Rc<Reply>>,
    idle: Duration,
    deadline: Deadline,
    waiting: bool,
}

impl StreamBody {
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = self.poll_incoming(cx) {
            self.waiting = false;
            // A client that did not wait needs not be told.
            self.reply = None;
            return Poll::Ready(frame.transpose().map(|frame| frame.map_err(|error| BodyError::ClientGone(Some(error.into())))));
        }
        if let Some(reply) = self.reply.take() {
            reply.ask_for_more();
        }
        if !std::mem::replace(&mut self.waiting, true) {
            self.deadline.set(Instant::now() + self.idle);
        }
        ready!(self.deadline.poll_expired(cx));
        Poll::Ready(Some(Err(BodyError::ClientStalled)))
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, h2::Error>> {
        while let Some(piece) = ready!(self.incoming.poll_data(cx)).transpose()? {
            self.incoming.flow_control().release_capacity(piece.len())?;
            self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(Frame::data(piece))));
            }
        }
        self.incoming.poll_trailers(cx).map_ok(|trailers| trailers.map(Frame::trailers))
    }

    pub fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
