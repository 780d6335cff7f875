//! Something wrong in a link's settings, with its place.

use alloc::string::String;

/// What an operator is told about a link's settings. The proxy shows it at the place in the file that `path` points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A JSON pointer (RFC 6901) into the settings; empty for all of them.
    pub path: String,
    /// One line, without a full stop, that says what would be right.
    pub message: String,
}

impl Problem {
    /// `path` is a JSON pointer such as `/rules/0/to`; [`Pointer`] builds one out of parts.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Builds JSON pointers, escaping what RFC 6901 escapes.
///
/// ```
/// # use portcullis_sdk::prelude::*;
/// assert_eq!(Pointer::root().key("set").key("a/b").index(2).to_string(), "/set/a~1b/2");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    pub fn root() -> Self {
        Self::default()
    }

    /// This pointer, gone down into the member of this name.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.0.clone();
        path.push('/');
        for c in key.chars() {
            match c {
                '~' => path.push_str("~0"),
                '/' => path.push_str("~1"),
                c => path.push(c),
            }
        }
        Self(path)
    }

    /// This pointer, gone down into the element of this number, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.0.clone();
        path.push('/');
        push_number(&mut path, index);
        Self(path)
    }
}

/// Decimal digits without `core::fmt`, which would cost a small guest several KiB.
fn push_number(text: &mut String, number: usize) {
    if number >= 10 {
        push_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl core::fmt::Display for Pointer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}
