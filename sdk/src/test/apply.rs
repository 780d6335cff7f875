//! What a plugin decided, applied to the head as the proxy would; what the proxy would call a fault is a panic.

use super::sent::{Facts, SentRequest, SentResponse};
use crate::abi::{Field, RawEdit, RawReply, Str, Text};
use crate::field::{header_name, header_value};
use crate::verdict::{Reply, Verdict};

/// One change, as `wit/types.wit` lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    SetHeader(String, Vec<u8>),
    AppendHeader(String, Vec<u8>),
    RemoveHeader(String),
    SetMethod(String),
    SetAuthority(String),
    SetPath(String),
    SetQuery(Option<String>),
    SetAttribute(String, String),
}

impl Edit {
    pub(super) fn of(raw: &RawEdit<'_>) -> Self {
        let text = |raw: &Str<'_>| String::from_utf8(raw.bytes().to_vec()).expect("edits are made from `str`");
        let field = |raw: &Field<'_>| (raw.name().to_owned(), raw.value().to_vec());
        match raw {
            RawEdit::SetHeader(raw) => field(raw).into_edit(Self::SetHeader),
            RawEdit::AppendHeader(raw) => field(raw).into_edit(Self::AppendHeader),
            RawEdit::RemoveHeader(name) => Self::RemoveHeader(text(name)),
            RawEdit::SetMethod(method) => Self::SetMethod(text(method)),
            RawEdit::SetAuthority(authority) => Self::SetAuthority(text(authority)),
            RawEdit::SetPath(path) => Self::SetPath(text(path)),
            RawEdit::SetQuery(Text::Some(query)) => Self::SetQuery(Some(text(query))),
            RawEdit::SetQuery(Text::None) => Self::SetQuery(None),
            RawEdit::SetAttribute(raw) => Self::SetAttribute(raw.name().to_owned(), raw.text().to_owned()),
        }
    }
}

trait IntoEdit {
    fn into_edit(self, edit: fn(String, Vec<u8>) -> Edit) -> Edit;
}

impl IntoEdit for (String, Vec<u8>) {
    fn into_edit(self, edit: fn(String, Vec<u8>) -> Edit) -> Edit {
        edit(self.0, self.1)
    }
}

/// A head that edits can be applied to.
pub trait Head {
    #[doc(hidden)]
    fn apply(&mut self, edit: &Edit);
}

/// What became of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<H> {
    verdict: Verdict,
    edits: Vec<Edit>,
    head: H,
}

impl<H> Outcome<H> {
    pub(super) fn untouched(head: H) -> Self {
        Self { verdict: Verdict::Next, edits: Vec::new(), head }
    }

    pub(super) fn applied(mut head: H, verdict: Verdict, edits: Vec<Edit>) -> Self
    where
        H: Head,
    {
        assert!(edits.len() <= 256, "a fault: {} edits, 256 are the most", edits.len());
        edits.iter().for_each(|edit| head.apply(edit));
        Self { verdict, edits, head }
    }

    pub(super) fn head(&self) -> &H {
        &self.head
    }

    pub(super) fn with_edits(self, edits: Vec<Edit>) -> Self {
        Self { edits, ..self }
    }

    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The upstream, if it was forwarded to one.
    pub fn forwarded_to(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Forward(upstream) => Some(upstream),
            _ => None,
        }
    }

    /// The answer, if the plugin made one.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.verdict {
            Verdict::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// The changes in the order the plugin made them.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }
}

macro_rules! facts {
    ($head:ident) => {
        impl Outcome<$head> {
            /// The first line of this field after the edits, if it is UTF-8.
            pub fn header(&self, name: &str) -> Option<&str> {
                self.headers(name).first().copied()
            }

            /// All lines of this field after the edits, in order; those that are UTF-8.
            pub fn headers(&self, name: &str) -> Vec<&str> {
                let lines = self.head.facts.headers.iter().filter(|(line, _)| line == name);
                lines.filter_map(|(_, value)| std::str::from_utf8(value).ok()).collect()
            }

            /// An attribute after the edits.
            pub fn attribute(&self, name: &str) -> Option<&str> {
                self.head.facts.attributes.iter().find(|(set, _)| set == name).map(|(_, value)| &**value)
            }
        }
    };
}
facts!(SentRequest);
facts!(SentResponse);

impl Outcome<SentRequest> {
    pub fn method(&self) -> &str {
        &self.head.method
    }

    pub fn authority(&self) -> &str {
        &self.head.authority
    }

    pub fn path(&self) -> &str {
        &self.head.path
    }

    pub fn query(&self) -> Option<&str> {
        self.head.query.as_deref()
    }
}

impl Head for SentRequest {
    fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::SetMethod(method) => {
                assert!(is_token(method), "a fault: method {method:?} is not a token");
                self.method.clone_from(method);
            }
            Edit::SetAuthority(authority) => {
                let sound = !authority.is_empty() && !authority.contains(|c: char| c <= ' ' || "/?#@\\".contains(c));
                assert!(sound, "a fault: {authority:?} is not an authority");
                self.authority.clone_from(authority);
            }
            Edit::SetPath(path) => {
                let sound = path.starts_with('/') && !path.contains(|c: char| c <= ' ' || c == '\x7f' || "?#".contains(c));
                assert!(sound, "a fault: {path:?} is not an absolute path");
                self.path.clone_from(path);
            }
            Edit::SetQuery(query) => {
                let sound = query.as_ref().is_none_or(|query| !query.contains(|c: char| c <= ' ' || c == '\x7f' || c == '#'));
                assert!(sound, "a fault: {query:?} is not a query");
                self.query.clone_from(query);
            }
            other => self.facts.apply(other),
        }
    }
}

impl Head for SentResponse {
    fn apply(&mut self, edit: &Edit) {
        self.facts.apply(edit);
    }
}

impl Facts {
    fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::SetHeader(name, value) => {
                check_field(name, value);
                let at = self.headers.iter().position(|(line, _)| line == name).unwrap_or(self.headers.len());
                self.headers.retain(|(line, _)| line != name);
                self.headers.insert(at.min(self.headers.len()), (name.clone(), value.clone()));
            }
            Edit::AppendHeader(name, value) => {
                check_field(name, value);
                self.headers.push((name.clone(), value.clone()));
            }
            Edit::RemoveHeader(name) => {
                check_field(name, b"");
                self.headers.retain(|(line, _)| line != name);
            }
            Edit::SetAttribute(name, value) => {
                assert!(!is_reserved(name), "a fault: the proxy sets the attribute {name:?} itself");
                self.attributes.retain(|(set, _)| set != name);
                self.attributes.push((name.clone(), value.clone()));
            }
            Edit::SetMethod(_) | Edit::SetAuthority(_) | Edit::SetPath(_) | Edit::SetQuery(_) => {
                panic!("a fault: {edit:?} in the response phase")
            }
        }
    }
}

/// As the contract says (`wit/types.wit`, `reply`).
pub(super) fn check_reply(reply: &RawReply<'_>) {
    assert!((200..600).contains(&reply.status), "a fault: a reply of status {}", reply.status);
    assert!(reply.body.bytes().len() <= 1 << 20, "a fault: a reply's body of more than 1 MiB");
    reply.headers.items().iter().for_each(|field| check_field(field.name(), field.value()));
}

fn check_field(name: &str, value: &[u8]) {
    match header_name(name) {
        Ok(lower) => assert!(lower == name, "names of header fields are in lower case: {name:?}"),
        Err(why) => panic!("a fault: header {name:?}: {why}"),
    }
    if let Err(why) = header_value(value) {
        panic!("a fault: the value of {name:?}: {why}");
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

pub(super) fn is_reserved(name: &str) -> bool {
    let prefixes = ["client.", "peer.", "server.", "tls.", "http.", "request.", "portcullis.", "listener."];
    ["site", "route", "upstream", "listener"].contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}
