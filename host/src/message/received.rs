//! A request as it came off the wire, syntactically sound and not yet interpreted.

use super::Interim;
use bytestring::ByteString;
use http::{HeaderMap, Method, Version};

/// What `listen` hands to its handler. `headers` still has every field, hop-by-hop ones too.
#[derive(Debug)]
pub struct Received<B> {
    pub method: Method,
    pub target: Target,
    pub version: Version,
    pub headers: HeaderMap,
    /// Framing is already decided: the body knows its length, or that it is chunked, or that there is none.
    pub body: B,
    /// What may be said to the client before the response.
    pub interim: Interim,
}

/// The request target (RFC 9112, section 3.2; `:authority` and `:path` of RFC 9113).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// From absolute-form, authority-form or `:authority`; not from `Host`.
    pub authority: Option<ByteString>,
    /// Path and query as sent, `*`, or empty (authority-form).
    pub path_and_query: ByteString,
}
