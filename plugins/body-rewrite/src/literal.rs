//! Literal texts: all of them are looked for in one pass.

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};
use portcullis_sdk::prelude::*;

pub struct Literals {
    search: NFA,
    with: Vec<String>,
    longest: usize,
}

impl Literals {
    /// `None`: they are too many, or too long, for one automaton.
    pub fn new(texts: &[(String, String)]) -> Option<Self> {
        let kind = MatchKind::LeftmostFirst;
        let search = NFA::builder().match_kind(kind).build(texts.iter().map(|(text, _)| text)).ok()?;
        let longest = texts.iter().map(|(text, _)| text.len()).max().unwrap_or(0);
        Some(Self { search, with: texts.iter().map(|(_, with)| with.clone()).collect(), longest })
    }

    /// Bytes of the longest.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The first match from `from` on: where, and what stands in its place.
    pub fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize, &str)> {
        let input = Input::new(bytes).range(from..).anchored(Anchored::No);
        let found = self.search.try_find(&input).ok()??;
        Some((found.start(), found.end(), self.with.get(found.pattern().as_usize())?))
    }
}
