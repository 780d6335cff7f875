//! What a link decides, already checked: nothing in here can be invalid HTTP.

use crate::message::Reply;
use bytestring::ByteString;
use http::{HeaderName, HeaderValue, Method};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A verdict with the edits that go with it, applied all or not at all.
#[derive(Debug, Clone)]
pub struct Decision {
    pub verdict: Verdict,
    pub edits: Edits,
}

impl Decision {
    /// To go on as if nothing had been asked.
    pub const fn next() -> Self {
        Self { verdict: Verdict::Next, edits: Edits(Of::One(Vec::new())) }
    }
}

/// The edits of a decision, in order. Not inline: a decision is moved through a dozen frames on its way here, and most have none or one.
#[derive(Clone)]
pub struct Edits(Of);

/// Whose they are.
#[derive(Clone)]
enum Of {
    /// Of this decision alone.
    One(Vec<Edit>),
    /// Of a decision that is made again and again; each is copied when it is applied. Counted across threads only because what is lifted from guests must be able to cross them.
    Many(Arc<[Edit]>),
}

impl Edits {
    /// The same for many decisions: to clone them is cheap from then on.
    #[must_use]
    pub fn shared(&self) -> Self {
        match &self.0 {
            // Empty ones cost nothing as they are.
            Of::One(edits) if edits.is_empty() => Self::default(),
            _ => Self(Of::Many(self.iter().cloned().collect())),
        }
    }

    /// What another decision about the same message adds.
    pub fn extend(&mut self, more: &Self) {
        *self = self.iter().chain(more.iter()).cloned().collect();
    }
}

impl Default for Edits {
    fn default() -> Self {
        Self(Of::One(Vec::new()))
    }
}

impl From<Vec<Edit>> for Edits {
    fn from(edits: Vec<Edit>) -> Self {
        Self(Of::One(edits))
    }
}

impl FromIterator<Edit> for Edits {
    fn from_iter<I: IntoIterator<Item = Edit>>(edits: I) -> Self {
        Vec::from_iter(edits).into()
    }
}

impl Deref for Edits {
    type Target = [Edit];

    #[inline]
    fn deref(&self) -> &[Edit] {
        match &self.0 {
            Of::One(edits) => edits,
            Of::Many(edits) => edits,
        }
    }
}

impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Edits {
    /// Does something with each.
    #[inline]
    pub fn each(self, apply: impl FnMut(Edit)) {
        match self.0 {
            Of::One(edits) => edits.into_iter().for_each(apply),
            Of::Many(edits) => edits.iter().cloned().for_each(apply),
        }
    }
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
