//! One body on its way: what is unchanged is kept in place, what may be the start of a match is held back until the next piece.

use crate::Replacement;
use crate::literal::Literals;
use crate::pattern::Patterns;
use portcullis_sdk::body::{Output, Trailers, Transform};
use portcullis_sdk::prelude::*;

/// What a regular expression can match, bytes: so much is held back of a body. Arbitrary: longer than a line of code or a tag with its attributes.
pub const LONGEST: usize = 4 << 10;

/// What is looked for.
pub enum Finder {
    Literals(Box<Literals>),
    Patterns(Patterns),
}

impl Finder {
    pub fn of(replacements: &OneOrMany<Replacement>, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut literals = Vec::new();
        let mut patterns = Vec::new();
        for (at, Replacement { text, regex, with }) in replacements.iter().enumerate() {
            let place = replacements.pointer(&Pointer::root().key("replace"), at);
            match (text, regex) {
                (Some(text), None) if text.is_empty() => problems.push(Problem::at(place.key("text"), "a text that is not empty")),
                (Some(text), None) => {
                    // For the case that others are regular expressions.
                    let escaped = text.bytes().fold(String::new(), |escaped, byte| escaped + &format!("\\x{byte:02x}"));
                    patterns.push((place, escaped, with.replace('$', "$$")));
                    literals.push((text.clone(), with.clone()));
                }
                (None, Some(regex)) => patterns.push((place.key("regex"), regex.clone(), with.clone())),
                _ => problems.push(Problem::at(place, "one of `text` and `regex`")),
            }
        }
        if replacements.is_empty() {
            problems.push(Problem::at("/replace", "at least one replacement"));
        }
        if !problems.is_empty() {
            return None;
        }
        if literals.len() == patterns.len() {
            let found = Literals::new(&literals).map(|found| Self::Literals(Box::new(found)));
            if found.is_none() {
                problems.push(Problem::at("/replace", "fewer or shorter texts"));
            }
            return found;
        }
        let sources: Vec<_> = patterns.iter().map(|(_, pattern, with)| (&**pattern, with.clone())).collect();
        match Patterns::new(&sources) {
            Err((at, why)) => problems.push(Problem::at(patterns[at].0.clone(), format!("a regular expression: {why}"))),
            Ok(found) => match found.match_nothing() {
                Some(at) => problems.push(Problem::at(patterns[at].0.clone(), "a regular expression that does not match the empty text")),
                None => return Some(Self::Patterns(found)),
            },
        }
        None
    }

    /// Bytes that must be held back, since a match could begin in them and end behind: one less than the longest match.
    fn reach(&self) -> usize {
        match self {
            Self::Literals(literals) => literals.longest().saturating_sub(1),
            Self::Patterns(_) => LONGEST - 1,
        }
    }

    /// Calls for what stands between matches, and for what stands in their place, up to `until`, where the next piece begins to matter. Returns
    /// up to where it came.
    fn each(&self, bytes: &[u8], until: usize, mut take: impl FnMut(Step<'_>)) -> usize {
        let mut from = 0;
        loop {
            let found = match self {
                Self::Literals(literals) => literals.find(bytes, from).map(|(start, end, with)| (start, end, With::Text(with))),
                Self::Patterns(patterns) => patterns.find(bytes, from).map(|(start, end, with)| (start, end, With::Made(with))),
            };
            // A match that begins in what is held back may be longer with the next piece, or another.
            let Some((start, end, with)) = found.filter(|(start, ..)| *start < until || until == bytes.len()) else {
                let to = until.max(from);
                take(Step::Same(from, to));
                return to;
            };
            take(Step::Same(from, start));
            match &with {
                With::Text(text) => take(Step::New(text.as_bytes())),
                With::Made(made) => take(Step::New(made)),
            }
            from = end;
        }
    }
}

enum With<'f> {
    Text(&'f str),
    Made(Vec<u8>),
}

enum Step<'s> {
    Same(usize, usize),
    New(&'s [u8]),
}

pub struct Rewriter {
    finder: Rc<Finder>,
    /// What was held back of the piece before.
    held: Vec<u8>,
}

impl Rewriter {
    pub fn new(finder: Rc<Finder>) -> Self {
        Self { finder, held: Vec::new() }
    }

    /// What can be told of the bytes in hand goes out; the rest is held. `last`: nothing comes after them.
    fn rewrite(&mut self, piece: &[u8], last: bool, out: &mut Output<'_>) {
        let before = self.held.len();
        let joined;
        let bytes: &[u8] = if before == 0 {
            piece
        } else {
            joined = [&self.held[..], piece].concat();
            &joined
        };
        let until = if last { bytes.len() } else { bytes.len().saturating_sub(self.finder.reach()) };
        let to = self.finder.each(bytes, until, |step| match step {
            Step::New(new) => out.write_slice(new),
            // What was held is not in the piece.
            Step::Same(from, to) => {
                if from < before.min(to) {
                    out.write_slice(&bytes[from..to.min(before)]);
                }
                if to > before {
                    out.keep(from.max(before) - before..to - before);
                }
            }
        });
        self.held = bytes[to..].to_vec();
    }
}

impl Transform for Rewriter {
    fn piece(&mut self, piece: &[u8], out: &mut Output<'_>) {
        self.rewrite(piece, false, out);
    }

    fn end(&mut self, out: &mut Output<'_>, _: &mut Trailers) {
        self.rewrite(&[], true, out);
    }
}
