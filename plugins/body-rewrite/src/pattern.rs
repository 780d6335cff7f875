//! Regular expressions: linear in the body, without look-around and back-references.

use core::cell::RefCell;
use portcullis_sdk::prelude::*;
use regex_automata::Input;
use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};
use regex_automata::util::captures::Captures;
use regex_automata::util::{interpolate, syntax};

pub struct Patterns {
    all: Vec<(PikeVM, String)>,
    cache: RefCell<Vec<(Cache, Captures)>>,
}

impl Patterns {
    pub fn new(patterns: &[(&str, String)]) -> Result<Self, (usize, String)> {
        let mut all = Vec::new();
        for (at, (pattern, with)) in patterns.iter().enumerate() {
            // Bytes: a piece may end within a character.
            let syntax = syntax::Config::new().utf8(false).unicode(false).nest_limit(50);
            let built = PikeVM::builder().syntax(syntax).build(pattern);
            let built = built.map_err(|_| (at, one_line(pattern, syntax)))?;
            // What lies before a piece is gone.
            if !built.get_nfa().look_set_any().is_empty() {
                return Err((at, "anchors and word boundaries (`^`, `$`, `\\b`) cannot be told where a body comes in pieces".to_owned()));
            }
            all.push((built, with.clone()));
        }
        let cache = all.iter().map(|(search, _)| (search.create_cache(), search.create_captures())).collect();
        Ok(Self { all, cache: RefCell::new(cache) })
    }

    /// The first match from `from` on: where, and what stands in its place.
    pub fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize, Vec<u8>)> {
        let mut best: Option<(usize, usize, Vec<u8>)> = None;
        for ((search, with), (cache, captures)) in self.all.iter().zip(&mut *self.cache.borrow_mut()) {
            let to = best.as_ref().map_or(bytes.len(), |(start, ..)| *start);
            search.captures(cache, Input::new(bytes).range(from..), captures);
            let Some(found) = captures.get_match().filter(|found| best.is_none() || found.start() < to) else { continue };
            let mut text = Vec::new();
            let group = |index: usize, out: &mut Vec<u8>| {
                out.extend(captures.get_group(index).and_then(|span| bytes.get(span.start..span.end)).unwrap_or_default())
            };
            let named = |name: &str| captures.group_info().to_index(found.pattern(), name);
            interpolate::bytes(with.as_bytes(), group, named, &mut text);
            best = Some((found.start(), found.end(), text));
        }
        best
    }

    /// Whether one of them matches nothing at all, which is in every place.
    pub fn match_nothing(&self) -> Option<usize> {
        let nothing = |(search, _): &(PikeVM, String)| search.is_match(&mut search.create_cache(), "");
        self.all.iter().position(nothing)
    }
}

/// What is wrong with an expression, without the picture of it.
fn one_line(pattern: &str, config: syntax::Config) -> String {
    let error = syntax::parse_with(pattern, &config).err().map_or_else(|| "too large".to_owned(), |error| error.to_string());
    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
