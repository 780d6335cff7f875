//! What a link decides, already checked: nothing in here can be invalid HTTP.

use crate::message::Reply;
use bytestring::ByteString;
use http::{HeaderName, HeaderValue, Method};

/// A verdict with the edits that go with it, applied all or not at all.
#[derive(Debug, Clone)]
pub struct Decision {
    pub verdict: Verdict,
    /// A `Vec`, not inline: a decision is moved through a dozen frames on its way here, and most are empty or have one edit.
    pub edits: Vec<Edit>,
}

/// What happens next to the exchange (`wit/types.wit`, `verdict`).
#[derive(Debug, Clone)]
pub enum Verdict {
    Next,
    /// Never in the response phase.
    Forward(ByteString),
    Reply(Box<Reply>),
    Abort,
}

/// One change (`wit/types.wit`, `edit`). Request-only edits are never in a response's decision.
#[derive(Debug, Clone)]
pub enum Edit {
    SetHeader(HeaderName, HeaderValue),
    AppendHeader(HeaderName, HeaderValue),
    RemoveHeader(HeaderName),
    SetMethod(Method),
    SetAuthority(ByteString),
    SetPath(ByteString),
    SetQuery(Option<ByteString>),
    SetAttribute(ByteString, ByteString),
}
