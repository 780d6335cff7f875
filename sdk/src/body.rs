//! Bodies: what a plugin wants with one, and what it makes of its pieces.
//!
//! `on_request_body` and `on_response_body` are called when a body begins, right after `on_request` and `on_response` of the same plugin (or in
//! their place). They see the head, may edit it, and say what is to happen with this body:
//!
//! ```
//! use portcullis_sdk::prelude::*;
//! use portcullis_sdk::body::Output;
//!
//! /// Makes text loud.
//! #[settings]
//! struct Loud;
//!
//! #[plugin]
//! impl Loud {
//!     #[interest(headers = ["content-type"])]
//!     fn on_response_body(&self, response: &ResponseBegin, _: &mut Edits) -> ResponseBody {
//!         if response.header_str("content-type").is_none_or(|kind| !kind.starts_with("text/plain")) {
//!             return ResponseBody::Pass; // of which nothing is copied
//!         }
//!         ResponseBody::transform(|piece: &[u8], out: &mut Output| out.write(piece.to_ascii_uppercase()))
//!     }
//! }
//!
//! use portcullis_sdk::test::{Harness, response};
//! let loud = Harness::<Loud>::new("{}");
//! let after = loud.on_response_body(response(200).header("content-type", "text/plain"), &[b"hear, ", b"hear"]);
//! assert_eq!(after.body(), b"HEAR, HEAR");
//! ```
//!
//! What is returned lives as long as the body: state is kept in it, and gone with it, also when the client goes away. A struct of the plugin's that
//! implements [`Transform`] or [`Watch`] sees the end, too. State that outlives one body but not its exchange goes into [`crate::exchange`].

use crate::edits::{Edits, RequestEdits};
use crate::head::{Request, Response};
use crate::verdict::{Bytes, ResponseVerdict, Verdict};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{Deref, Range};

macro_rules! begins {
    ($(#[$doc:meta])* $begin:ident of $head:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $begin<'c> {
            pub(crate) head: $head<'c>,
            pub(crate) length: Option<u64>,
        }

        impl<'c> $begin<'c> {
            /// The number that ties the phases of one exchange together; see [`crate::exchange`]. It need not be asked for.
            pub fn exchange(&self) -> u64 {
                self.head.exchange
            }

            /// Bytes of the body, if it is known. It need not be asked for.
            pub fn body_length(&self) -> Option<u64> {
                self.length
            }
        }

        impl<'c> Deref for $begin<'c> {
            type Target = $head<'c>;

            fn deref(&self) -> &$head<'c> {
                &self.head
            }
        }
    };
}
begins! {
    /// The head of a request whose body is about to be read: a [`Request`].
    RequestBegin of Request
}
begins! {
    /// The head of a response whose body is about to be sent: a [`Response`].
    ResponseBegin of Response
}

/// Sees each piece of a body and changes nothing.
pub trait Watch: 'static {
    /// Never empty, at most 32 KiB.
    fn piece(&mut self, piece: &[u8]);

    /// All of it has been seen. Not called for a body that is broken off.
    fn end(&mut self, trailers: &Trailers) {
        let _ = trailers;
    }
}

impl<F: FnMut(&[u8]) + 'static> Watch for F {
    fn piece(&mut self, piece: &[u8]) {
        self(piece);
    }
}

/// Gets each piece of a body and gives what goes on instead. What is given to `out` and what is not is all up to it: it may hold back and give later.
pub trait Transform: 'static {
    /// At most 32 KiB; empty only after [`Output::more`].
    fn piece(&mut self, piece: &[u8], out: &mut Output<'_>);

    /// All of it has been seen: what was held back goes out now.
    fn end(&mut self, out: &mut Output<'_>, trailers: &mut Trailers) {
        let _ = (out, trailers);
    }
}

impl<F: FnMut(&[u8], &mut Output<'_>) + 'static> Transform for F {
    fn piece(&mut self, piece: &[u8], out: &mut Output<'_>) {
        self(piece, out);
    }
}

/// What goes on instead of a piece.
///
/// What is kept of the piece is not copied out of the plugin: to change a word in 32 KiB costs that word.
#[derive(Debug)]
pub struct Output<'p> {
    piece: &'p [u8],
    given: Given,
}

/// What an [`Output`] was given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// All that was written.
    pub bytes: Vec<u8>,
    pub parts: Vec<Part>,
    /// The piece's part before this is gone.
    from: usize,
    pub more: bool,
}

impl Given {
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "of the static that the exports have"))]
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), parts: Vec::new(), from: 0, more: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of the piece.
    Keep(Range<usize>),
    /// Of what was written.
    Bytes(Range<usize>),
}

/// One less than the proxy takes.
const MOST_PARTS: usize = 1023;

impl<'p> Output<'p> {
    pub(crate) fn new(piece: &'p [u8], mut reused: Given) -> Self {
        reused.bytes.clear();
        reused.parts.clear();
        Self { piece, given: Given { from: 0, more: false, ..reused } }
    }

    pub(crate) fn finish(self) -> Given {
        self.given
    }

    /// These bytes. Gives a `Vec` away without copying it, if nothing else was written before.
    pub fn write(&mut self, bytes: impl Into<Bytes> + AsRef<[u8]>) {
        let before = self.given.bytes.len();
        if bytes.as_ref().is_empty() {
            return;
        }
        if before == 0 && self.given.bytes.capacity() == 0 {
            self.given.bytes = bytes.into().into_vec();
        } else {
            self.given.bytes.extend_from_slice(bytes.as_ref());
        }
        self.wrote(before);
    }

    /// As [`Self::write`], for what is lent.
    pub fn write_slice(&mut self, bytes: &[u8]) {
        let before = self.given.bytes.len();
        self.given.bytes.extend_from_slice(bytes);
        self.wrote(before);
    }

    /// Where to write for those who write into a `Vec`, such as compressors. What is in it must stay.
    pub fn with_buffer<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.given.bytes.len();
        let result = write(&mut self.given.bytes);
        assert!(self.given.bytes.len() >= before, "what was written before is gone");
        self.wrote(before);
        result
    }

    fn wrote(&mut self, before: usize) {
        let now = self.given.bytes.len();
        match self.given.parts.last_mut() {
            _ if now == before => {}
            Some(Part::Bytes(last)) => last.end = now,
            _ => self.given.parts.push(Part::Bytes(before..now)),
        }
    }

    /// This part of the piece as it came. Parts must come in order; what lies between them is left out.
    ///
    /// # Panics
    /// If it is not within the piece, or behind what was kept before.
    pub fn keep(&mut self, range: Range<usize>) {
        assert!(range.start >= self.given.from && range.end <= self.piece.len() && range.start <= range.end, "{range:?} cannot be kept");
        if range.is_empty() {
            return;
        }
        self.given.from = range.end;
        let full = self.given.parts.len() >= MOST_PARTS;
        match self.given.parts.last_mut() {
            Some(Part::Keep(last)) if last.end == range.start => last.end = range.end,
            _ if full => {
                let piece = self.piece;
                self.write_slice(&piece[range]);
            }
            _ => self.given.parts.push(Part::Keep(range)),
        }
    }

    /// The whole piece as it came.
    pub fn keep_all(&mut self) {
        self.keep(0..self.piece.len());
    }

    /// There is more to give now than should be given at once: `piece` is called again, with nothing, when this has been taken.
    pub fn more(&mut self) {
        self.given.more = true;
    }
}

/// Trailers: fields that come after a body. Mostly there are none.
#[derive(Debug, Default)]
pub struct Trailers {
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    pub(crate) edits: Vec<TrailerEdit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrailerEdit {
    Set(String, Vec<u8>),
    Remove(String),
}

impl Trailers {
    /// The value of the first line of this name (lower case), as received.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find(|(line, _)| line == name).map(|(_, value)| &value[..])
    }

    /// All lines, as received.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// Replaces all lines of this name (lower case) by one. Of a body that is transformed; those of a watched one stay.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.edits.push(TrailerEdit::Set(name.to_owned(), value.as_ref().to_vec()));
    }

    /// Removes all lines of this name (lower case).
    pub fn remove_header(&mut self, name: &str) {
        self.edits.push(TrailerEdit::Remove(name.to_owned()));
    }
}

/// A body that was buffered.
#[derive(Debug)]
pub struct Whole<'c> {
    pub(crate) bytes: &'c [u8],
    pub(crate) trailers: Trailers,
    pub(crate) replaced: Option<Bytes>,
}

impl Whole<'_> {
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// Sends these bytes in its place, at most 4 MiB.
    pub fn replace(&mut self, bytes: impl Into<Bytes>) {
        self.replaced = Some(bytes.into());
    }
}

macro_rules! wants {
    ($(#[$doc:meta])* $body:ident, $edits:ident, $verdict:ident) => {
        $(#[$doc])*
        pub enum $body {
            /// Nothing of it is shown.
            Pass,
            Watch(Box<dyn Watch>),
            Transform(Box<dyn Transform>),
            /// See `buffer`.
            Buffer(u32, Box<dyn FnOnce(&mut Whole<'_>, &mut $edits<'_>) -> $verdict>),
        }

        impl $body {
            /// Each piece is shown: a `FnMut(&[u8])`, or what implements [`Watch`].
            pub fn watch(watch: impl Watch) -> Self {
                Self::Watch(Box::new(watch))
            }

            /// Each piece is handed over: a `FnMut(&[u8], &mut Output)`, or what implements [`Transform`].
            pub fn transform(transform: impl Transform) -> Self {
                Self::Transform(Box::new(transform))
            }

            /// All of it is collected, at most so many bytes (and as the operator's `limits.body-buffer` says, 1 MiB unless it is changed), and
            /// then decided about; the head can still be changed. A request that is larger is answered with 413, a response replaced by a 502.
            pub fn buffer<V: Into<$verdict>>(most: u32, decide: impl FnOnce(&mut Whole<'_>, &mut $edits<'_>) -> V + 'static) -> Self {
                Self::Buffer(most, Box::new(move |whole, edits| decide(whole, edits).into()))
            }
        }

        impl core::fmt::Debug for $body {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    Self::Pass => f.write_str("Pass"),
                    Self::Watch(_) => f.write_str("Watch"),
                    Self::Transform(_) => f.write_str("Transform"),
                    Self::Buffer(most, _) => f.debug_tuple("Buffer").field(most).finish(),
                }
            }
        }

        impl From<()> for $body {
            fn from((): ()) -> Self {
                Self::Pass
            }
        }

        impl From<Option<$body>> for $body {
            /// `None` passes.
            fn from(body: Option<$body>) -> Self {
                body.unwrap_or(Self::Pass)
            }
        }
    };
}
wants! {
    /// What a plugin wants with a request's body.
    RequestBody, RequestEdits, Verdict
}
wants! {
    /// What a plugin wants with a response's body.
    ResponseBody, Edits, ResponseVerdict
}
