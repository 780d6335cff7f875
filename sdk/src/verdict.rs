//! What a plugin decides: go on, forward elsewhere, answer itself, or hang up.
//!
//! A phase may return less than a verdict where less says it: nothing for "go on", a [`Reply`], or an `Option` of one.

use alloc::borrow::Cow;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// What happens next to an exchange, decided in the request phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on with the next link; after the last one, forward to the route's upstream.
    Next,
    /// Forward to the upstream of this name without asking the links that follow. An unknown name is a fault.
    Forward(String),
    /// Answer with this instead of forwarding. Shared, so that an answer made once at `configure` is not copied per call.
    Reply(Rc<Reply>),
    /// Close the connection (HTTP/1.1) or reset the stream (HTTP/2) without an answer.
    Abort,
}

impl Verdict {
    /// Forward to the upstream of this name.
    pub fn forward(upstream: impl Into<String>) -> Self {
        Self::Forward(upstream.into())
    }
}

/// What happens next, decided in the response phase, where nothing can be forwarded any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseVerdict {
    /// Go on with the link before this one; after the first one, to the client.
    Next,
    /// Answer with this instead of the response in hand.
    Reply(Rc<Reply>),
    /// Close the connection (HTTP/1.1) or reset the stream (HTTP/2) without an answer.
    Abort,
}

/// A complete response made by a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    pub(crate) body: Cow<'static, [u8]>,
}

impl Reply {
    /// An answer without fields and body. `status` must be 200 to 599; anything else is a fault when it is sent.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// Adds a field line; the name is put in lower case. The proxy sets `content-length`.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) -> Self {
        let mut name = name.into();
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name.to_mut().make_ascii_lowercase();
        }
        self.headers.push((name, value.into().0));
        self
    }

    /// Sets the body, at most 1 MiB.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into().0;
        self
    }

    /// Sets the body and `content-type: text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "text/plain; charset=utf-8").body(body)
    }

    pub fn status(&self) -> u16 {
        self.status
    }
}

/// Bytes of a [`Reply`]: made from text or bytes, borrowed for ever or owned.
#[derive(Debug, Clone)]
pub struct Bytes(Cow<'static, [u8]>);

impl Bytes {
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "for the exports"))]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0.into_owned()
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

macro_rules! from_less {
    ($verdict:ident) => {
        impl From<()> for $verdict {
            fn from((): ()) -> Self {
                Self::Next
            }
        }

        impl From<Reply> for $verdict {
            fn from(reply: Reply) -> Self {
                Self::Reply(Rc::new(reply))
            }
        }

        impl From<Rc<Reply>> for $verdict {
            fn from(reply: Rc<Reply>) -> Self {
                Self::Reply(reply)
            }
        }

        impl<T: Into<$verdict>> From<Option<T>> for $verdict {
            /// `None` goes on.
            fn from(verdict: Option<T>) -> Self {
                verdict.map_or(Self::Next, Into::into)
            }
        }
    };
}
from_less!(Verdict);
from_less!(ResponseVerdict);

impl From<ResponseVerdict> for Verdict {
    fn from(verdict: ResponseVerdict) -> Self {
        match verdict {
            ResponseVerdict::Next => Self::Next,
            ResponseVerdict::Reply(reply) => Self::Reply(reply),
            ResponseVerdict::Abort => Self::Abort,
        }
    }
}

/// For tests: what a reply holds.
impl Reply {
    /// The first field line of this name (lower case), if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(line, _)| line == name)?;
        core::str::from_utf8(value).ok()
    }

    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }
}
