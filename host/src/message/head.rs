//! Heads as the chain sees them: normalised, without hop-by-hop fields.

use bytestring::ByteString;
use http::{HeaderMap, Method, StatusCode};

/// How the client reached the proxy (RFC 9110, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A request's control data and fields after `proxy/inbound.rs` has cleaned them (RFC 9110, section 6.2).
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: Method,
    pub scheme: Scheme,
    /// Host and port, lower case, without a default port. Not repeated in `headers`; `upstream` writes it as `Host`.
    pub authority: ByteString,
    /// Absolute and in normal form (RFC 3986, section 6.2.2), or `*` for `OPTIONS *`.
    pub path: ByteString,
    /// Without the `?`.
    pub query: Option<ByteString>,
    /// Without hop-by-hop and framing fields and without `Host`.
    pub headers: HeaderMap,
}

/// A response's status and fields, without hop-by-hop and framing fields.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
}
