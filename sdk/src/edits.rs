//! The list of changes that a phase writes.
//!
//! Applied in the order given, all or none, after the phase has returned: reading the head again does not show them. Names and
//! values are copied, so anything may be passed: a literal, a setting, a part of the head, a `String` made on the way.

use crate::abi::{Arena, List, RawEdit, Text};
use core::ops::{Deref, DerefMut};

/// Changes that either phase can make. At most 256, 1 MiB in all.
///
/// An edit that is not valid HTTP makes the whole call a fault. Hop-by-hop and framing fields (`connection`, `transfer-encoding`,
/// `content-length`, `keep-alive`, `te`, `trailer`, `upgrade`, `proxy-connection`, `host`) cannot be edited.
#[derive(Debug)]
pub struct Edits<'c> {
    pub(crate) arena: &'c Arena,
    pub(crate) list: List<'c, RawEdit<'c>>,
}

impl<'c> Edits<'c> {
    pub(crate) fn new(arena: &'c Arena) -> Self {
        Self { arena, list: List::new() }
    }

    /// Replaces all lines of this name by one. The name in lower case.
    #[inline]
    pub fn set_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let field = self.arena.field(name.as_ref(), value.as_ref());
        self.push(RawEdit::SetHeader(field));
    }

    /// Adds a line after the existing ones. The name in lower case.
    #[inline]
    pub fn append_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let field = self.arena.field(name.as_ref(), value.as_ref());
        self.push(RawEdit::AppendHeader(field));
    }

    /// Removes all lines of this name (lower case), if there are any.
    #[inline]
    pub fn remove_header(&mut self, name: impl AsRef<str>) {
        let name = self.arena.text(name.as_ref());
        self.push(RawEdit::RemoveHeader(name));
    }

    /// Sets a named fact that later links can ask for. Names that begin with `log.` go to the access log; `timeout.total`,
    /// `timeout.response` and `timeout.idle` (a duration such as `5s`) change the exchange's timeouts; names that the proxy sets
    /// itself, such as `client.ip`, cannot be set.
    #[inline]
    pub fn set_attribute(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let field = self.arena.field(name.as_ref(), value.as_ref().as_bytes());
        self.push(RawEdit::SetAttribute(field));
    }

    #[inline]
    fn push(&mut self, edit: RawEdit<'c>) {
        self.list.push(self.arena, edit);
    }
}

/// Changes that can be made to a request: those of [`Edits`], and to its method, authority, path and query.
#[derive(Debug)]
pub struct RequestEdits<'c>(pub(crate) Edits<'c>);

impl RequestEdits<'_> {
    /// Sets the method: a token (RFC 9110, section 9.1).
    #[inline]
    pub fn set_method(&mut self, method: impl AsRef<str>) {
        let method = self.arena.text(method.as_ref());
        self.push(RawEdit::SetMethod(method));
    }

    /// Sets what the upstream gets as `Host`.
    #[inline]
    pub fn set_authority(&mut self, authority: impl AsRef<str>) {
        let authority = self.arena.text(authority.as_ref());
        self.push(RawEdit::SetAuthority(authority));
    }

    /// Sets the path, which must begin with `/` and must not contain `?`, `#`, space or control characters.
    #[inline]
    pub fn set_path(&mut self, path: impl AsRef<str>) {
        let path = self.arena.text(path.as_ref());
        self.push(RawEdit::SetPath(path));
    }

    /// Sets the query, without the `?`.
    #[inline]
    pub fn set_query(&mut self, query: impl AsRef<str>) {
        let query = self.arena.text(query.as_ref());
        self.push(RawEdit::SetQuery(Text::Some(query)));
    }

    /// Removes the query and its `?`.
    #[inline]
    pub fn remove_query(&mut self) {
        self.push(RawEdit::SetQuery(Text::None));
    }
}

impl<'c> Deref for RequestEdits<'c> {
    type Target = Edits<'c>;

    #[inline]
    fn deref(&self) -> &Edits<'c> {
        &self.0
    }
}

impl<'c> DerefMut for RequestEdits<'c> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Edits<'c> {
        &mut self.0
    }
}
