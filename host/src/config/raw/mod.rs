//! As written → as meant: TOML with spans, decoded by hand, because serde's `untagged` and `flatten` lose the spans that
//! "string or table" needs. One file per thing a user declares; all of them report to one [`Context`].

mod acme;
mod admin;
mod build;
mod cases;
mod certificate;
mod chains;
mod client_certs;
mod fields;
mod files;
mod health;
mod inbound;
mod injected;
mod json;
mod links;
mod listen;
mod mirror;
mod names;
mod node;
mod observe;
mod outbound;
mod platform;
mod plugins;
mod reader;
mod retry;
mod routes;
mod server;
mod services;
mod shadow;
mod shorthand;
mod sites;
mod syntax;
mod tcp;
mod tcp_tls;
mod trust;
mod upstreams;

pub use build::config;
pub use cases::{cases, lone_settings};
pub use files::{Files, gather};
pub use reader::nearest;

use super::forms::Wrong;
use super::source::{Sources, Span};
use super::surroundings::Surroundings;
use super::{Code, Diagnostic, Location, diagnostic::Place};
use names::Names;
use node::Node;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What all decoders share: the texts, what was declared, and the findings.
pub struct Context<'a> {
    pub sources: &'a Sources,
    pub around: &'a dyn Surroundings,
    pub names: Names,
    found: RefCell<Vec<Diagnostic>>,
    /// Files with a syntax error, and the spans up to the next header that it may have garbled.
    broken: RefCell<BTreeSet<Span>>,
    /// Names of links that could not be read, so that `without` is not blamed for them; `*` for a whole chain.
    lost_links: RefCell<BTreeSet<String>>,
}

impl<'a> Context<'a> {
    pub fn new(sources: &'a Sources, around: &'a dyn Surroundings) -> Self {
        Self {
            sources,
            around,
            names: Names::default(),
            found: RefCell::default(),
            broken: RefCell::default(),
            lost_links: RefCell::default(),
        }
    }

    pub fn report(&self, found: Diagnostic) {
        self.found.borrow_mut().push(found);
    }

    /// Reports an error and gives nothing, for `return context.error(…)`.
    pub fn error<T>(&self, code: Code, span: Span, message: impl Into<String>) -> Option<T> {
        self.report(Diagnostic::error(code, self.place(span), message));
        None
    }

    pub fn place(&self, span: Span) -> Place {
        self.sources.shown(span)
    }

    pub fn location(&self, span: Span) -> Location {
        self.sources.location(span)
    }

    /// Where a table is said to be: inside the brackets of its header.
    pub fn header(&self, node: &Node) -> Span {
        let text = self.sources.text(node.span);
        if !text.starts_with('[') || !text.ends_with(']') {
            return node.span;
        }
        let open = text.len() - text.trim_start_matches('[').len();
        Span { start: node.span.start + open, end: node.span.end - open, ..node.span }
    }

    /// Reads a string by one of the small grammars; errors point inside it.
    pub fn form<T>(&self, text: &str, span: Span, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        match read(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let code = if wrong.later { Code::NotYet } else { Code::BadValue };
                let place = self.place(self.sources.inside(span, wrong.at));
                let mut found = Diagnostic::error(code, place, format!("`{text}`: {}", wrong.message));
                found.help.extend(wrong.help);
                self.report(found);
                None
            }
        }
    }

    /// Notes that a part of a file was not understood.
    pub fn broken(&self, part: Span) {
        self.broken.borrow_mut().insert(part);
    }

    /// Whether a declaration of `name` may stand in a part of a file that could not be read.
    pub fn may_be_lost(&self, name: &str) -> bool {
        self.broken.borrow().iter().any(|part| self.sources.text(*part).contains(name))
    }

    pub fn is_broken(&self, file: usize) -> bool {
        self.broken.borrow().iter().any(|part| part.file == file)
    }

    /// Notes that a link of this name would be in a chain if it had been right.
    pub fn lose_link(&self, name: &str) {
        self.lost_links.borrow_mut().insert(name.to_owned());
    }

    pub fn lost_link(&self, name: &str) -> bool {
        let lost = self.lost_links.borrow();
        lost.contains(name) || lost.contains("*")
    }

    pub fn lost_links(&self) -> bool {
        !self.lost_links.borrow().is_empty()
    }

    pub fn any_error(&self) -> bool {
        self.found.borrow().iter().any(|found| found.severity == super::Severity::Error)
    }

    /// What was found, but for guesses about parts that were not understood.
    pub fn into_found(self) -> Vec<Diagnostic> {
        let broken = self.broken.into_inner();
        let parts: Vec<_> = broken.iter().map(|part| (self.sources.location(*part), self.sources.end(*part))).collect();
        let garbled = |found: &Diagnostic| {
            let at = found.place.as_ref().map(|place| &place.at);
            !matches!(found.code, Code::Syntax | Code::Duplicate)
                && at.is_some_and(|at| parts.iter().any(|(from, to)| from.file == at.file && from.line <= at.line && at.line < to.0))
        };
        self.found.into_inner().into_iter().filter(|found| !garbled(found)).collect()
    }
}
