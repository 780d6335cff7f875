//! HTTP/1.1 on the wire, for both walls: strict reading (RFC 9112), lean writing. Knows no sockets: bytes in, heads and body
//! pieces out. What a head *means* (routing, hop-by-hop rules, statuses) is not decided here.
//!
//! In reading order: `lines` (where a head ends), `fields` (field lines and what they say about framing), `target`, `request`,
//! `response`; `decoder` (bodies in), `encode` and `outbox` (heads and bodies out), `date`; `deadline` is the one timer
//! both walls use, `stream` the one socket, `dial` makes it where a host has several addresses. `proxy_header` is what proxies say to each other before anything else.
//! `client_hello` is the one thing of TLS that is read here: who the client asks for, before it is decided who answers.

mod chunked;
mod client_hello;
mod date;
mod deadline;
mod decoder;
mod dial;
mod encode;
mod fields;
mod lines;
mod outbox;
mod proxy_header;
mod request;
mod response;
mod stream;
mod target;

pub use client_hello::{BadHello, HelloReader, MOST_HELLO};
pub use date::{date, put_date};
pub use deadline::Deadline;
pub use decoder::{BadBody, Decoded, Decoder};
pub use dial::dial;
#[cfg(test)]
pub use dial::tests::silent;
pub use encode::{Persistence, put_request, put_response};
pub use fields::retain_trailers;
pub use lines::HeadLimits;
pub use outbox::{Coding, Encoder, Outbox, WrongLength};
pub use proxy_header::{BadProxyHeader, ProxyHeader, ProxyTls, Told, read_proxy_header};
pub use request::ReceivedHead;
pub use response::{MalformedResponse, ReceivedResponse};
pub use stream::Stream;
pub(crate) use stream::either;
pub use target::{is_authority, parse as parse_target};

use crate::message::Malformed;
use bytes::BytesMut;
use http::Method;

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Responses only: everything until the connection ends.
    UntilClose,
}

/// Reads heads off one connection. Remembers how far an incomplete head was searched, so bytes that trickle in are looked at once.
#[derive(Debug)]
pub struct HeadParser {
    limits: HeadLimits,
    lines: lines::Lines,
}

impl HeadParser {
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, lines: lines::Lines::default() }
    }

    /// Splits a request head off `buf`; `None`: more bytes are needed. Values and target are slices of what was read, not copies.
    ///
    /// # Errors
    /// As soon as what is there cannot become a sound head within the limits. The connection is of no further use then.
    pub fn request(&mut self, buf: &mut BytesMut) -> Result<Option<ReceivedHead>, Malformed> {
        match self.lines.scan(buf, &self.limits, lines::Leading::Skip)? {
            None => Ok(None),
            Some(length) => {
                let head = buf.split_to(length).freeze();
                let parsed = request::parse(&head, &self.lines);
                self.lines.clear();
                parsed.map(Some)
            }
        }
    }

    /// Splits a response head off `buf`; `None`: more bytes are needed. `to` is the request's method, which decides on the framing.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn response(&mut self, buf: &mut BytesMut, to: &Method) -> Result<Option<ReceivedResponse>, MalformedResponse> {
        match self.lines.scan(buf, &self.limits, lines::Leading::Refuse)? {
            None => Ok(None),
            Some(length) => {
                let head = buf.split_to(length).freeze();
                let parsed = response::parse(&head, &self.lines, to);
                self.lines.clear();
                parsed.map(Some)
            }
        }
    }
}
