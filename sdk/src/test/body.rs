//! Bodies as a test writes them, piece by piece, and what a plugin made of them.

use super::apply::{Edit, Head, Outcome};
use super::sent::{SentRequest, SentResponse};
use super::{Harness, outcome};
use crate::abi::Arena;
use crate::body::{
    Given, Output, Part, RequestBegin, RequestBody, ResponseBegin, ResponseBody, TrailerEdit, Trailers, Transform, Watch, Whole,
};
use crate::edits::{Edits, RequestEdits};
use crate::exchange;
use crate::plugin::{OnRequestBody, OnResponseBody};
use crate::verdict::Verdict;

/// Bytes that a plugin is given at once.
const PIECE: usize = 32 << 10;

/// What became of a body and its head.
#[derive(Debug, Clone)]
pub struct BodyOutcome<H> {
    wanted: &'static str,
    head: Outcome<H>,
    pieces: Vec<Vec<u8>>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl<H> BodyOutcome<H> {
    /// `pass`, `watch`, `transform` or `buffer`.
    pub fn wanted(&self) -> &str {
        self.wanted
    }

    /// The head after all edits, and the verdict of a plugin that saw the body whole.
    pub fn head(&self) -> &Outcome<H> {
        &self.head
    }

    /// All that goes on.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// What went on after each piece that came, and at last after the end. One for all, if the body was buffered.
    pub fn pieces(&self) -> &[Vec<u8>] {
        &self.pieces
    }

    /// The first trailer of this name.
    pub fn trailer(&self, name: &str) -> Option<&[u8]> {
        self.trailers.iter().find(|(line, _)| line == name).map(|(_, value)| &value[..])
    }
}

impl<P: OnRequestBody> Harness<P> {
    /// Sends a request's body through the plugin in these pieces. Its head is as `on_request` left it. Without any bytes there is no body.
    ///
    /// # Panics
    /// If something would be a fault, or the plugin reads what it did not ask for.
    pub fn on_request_body(&self, sent: SentRequest, pieces: &[&[u8]]) -> BodyOutcome<SentRequest> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let Some(interest) = self.plan.request_body.as_ref().filter(|_| length > 0) else {
            return passed(Outcome::untouched(sent), pieces);
        };
        let arena = Arena::new();
        let (seen, number) = (sent.seen(interest), sent.facts.exchange);
        let mut edits = RequestEdits(Edits::new(&arena));
        let want = seen.with(interest, |head| {
            let head = crate::head::Request { exchange: number, ..*head };
            self.plugin.on_request_body(&RequestBegin { head, length: Some(length as u64) }, &mut edits)
        });
        let after = match want {
            RequestBody::Pass => passed(outcome(sent, Verdict::Next, edits.0), pieces),
            RequestBody::Watch(watch) => watched(watch, outcome(sent, Verdict::Next, edits.0), pieces),
            RequestBody::Transform(transform) => transformed(transform, outcome(sent, Verdict::Next, edits.0), pieces),
            RequestBody::Buffer(most, judge) => {
                let begun = outcome(sent, Verdict::Next, edits.0);
                let mut edits = RequestEdits(Edits::new(&arena));
                judged(most, pieces, |whole| {
                    let verdict = judge(whole, &mut edits);
                    begun.then(outcome(begun.head().clone(), verdict, edits.0))
                })
            }
        };
        exchange::release(number);
        after
    }
}

impl<P: OnResponseBody> Harness<P> {
    /// Sends a response's body through the plugin in these pieces. Its head is as `on_response` left it.
    ///
    /// # Panics
    /// If something would be a fault, or the plugin reads what it did not ask for.
    pub fn on_response_body(&self, sent: SentResponse, pieces: &[&[u8]]) -> BodyOutcome<SentResponse> {
        let Some(interest) = &self.plan.response_body else { return passed(Outcome::untouched(sent), pieces) };
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let arena = Arena::new();
        let (seen, number) = (sent.seen(interest), sent.facts.exchange);
        let mut edits = Edits::new(&arena);
        let want = seen.with(interest, |head| {
            let head = crate::head::Response { exchange: number, ..*head };
            self.plugin.on_response_body(&ResponseBegin { head, length: Some(length as u64) }, &mut edits)
        });
        let after = match want {
            ResponseBody::Pass => passed(outcome(sent, Verdict::Next, edits), pieces),
            ResponseBody::Watch(watch) => watched(watch, outcome(sent, Verdict::Next, edits), pieces),
            ResponseBody::Transform(transform) => transformed(transform, outcome(sent, Verdict::Next, edits), pieces),
            ResponseBody::Buffer(most, judge) => {
                let begun = outcome(sent, Verdict::Next, edits);
                let mut edits = Edits::new(&arena);
                judged(most, pieces, |whole| {
                    let verdict = judge(whole, &mut edits);
                    begun.then(outcome(begun.head().clone(), verdict.into(), edits))
                })
            }
        };
        exchange::release(number);
        after
    }
}

fn passed<H>(head: Outcome<H>, pieces: &[&[u8]]) -> BodyOutcome<H> {
    let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
    BodyOutcome { wanted: "pass", head, pieces, trailers: Vec::new() }
}

fn shown<'p>(pieces: &[&'p [u8]]) -> impl Iterator<Item = &'p [u8]> {
    pieces.iter().flat_map(|piece| piece.chunks(PIECE)).collect::<Vec<_>>().into_iter()
}

fn watched<H>(mut watch: Box<dyn Watch>, head: Outcome<H>, pieces: &[&[u8]]) -> BodyOutcome<H> {
    shown(pieces).for_each(|piece| watch.piece(piece));
    watch.end(&Trailers::default());
    BodyOutcome { wanted: "watch", ..passed(head, pieces) }
}

fn transformed<H>(mut transform: Box<dyn Transform>, head: Outcome<H>, pieces: &[&[u8]]) -> BodyOutcome<H> {
    let mut gone = Vec::new();
    let mut given = Given::default();
    for piece in shown(pieces) {
        let (mut all, mut next) = (Vec::new(), piece);
        loop {
            let mut out = Output::new(next, given);
            transform.piece(next, &mut out);
            given = out.finish();
            let here = went(&given, next);
            assert!(!given.more || !here.is_empty(), "a fault: more to give, and nothing given");
            all.extend(here);
            if !given.more {
                break;
            }
            next = &[];
        }
        gone.push(all);
    }
    let (mut out, mut trailers) = (Output::new(&[], given), Trailers::default());
    transform.end(&mut out, &mut trailers);
    gone.push(went(&out.finish(), &[]));
    let mut lines = Vec::new();
    for edit in trailers.edits {
        match edit {
            TrailerEdit::Set(name, value) => {
                lines.retain(|(line, _)| *line != name);
                lines.push((name, value));
            }
            TrailerEdit::Remove(name) => lines.retain(|(line, _)| *line != name),
        }
    }
    BodyOutcome { wanted: "transform", head, pieces: gone, trailers: lines }
}

fn went(given: &Given, piece: &[u8]) -> Vec<u8> {
    assert!(given.bytes.len() <= 4 << 20, "a fault: more than 4 MiB at once");
    let part = |part: &Part| match part {
        Part::Keep(range) => &piece[range.clone()],
        Part::Bytes(range) => &given.bytes[range.clone()],
    };
    given.parts.iter().map(part).collect::<Vec<_>>().concat()
}

fn judged<H>(most: u32, pieces: &[&[u8]], decide: impl FnOnce(&mut Whole<'_>) -> Outcome<H>) -> BodyOutcome<H> {
    let bytes = pieces.concat();
    assert!(bytes.len() <= most as usize, "{} bytes, of which the plugin would not be told: it buffers at most {most}", bytes.len());
    let mut whole = Whole { bytes: &bytes, trailers: Trailers::default(), replaced: None };
    let head = decide(&mut whole);
    let body = whole.replaced.take().map_or_else(|| bytes.clone(), crate::verdict::Bytes::into_vec);
    BodyOutcome { wanted: "buffer", head, pieces: vec![body], trailers: Vec::new() }
}

impl<H: Head> Outcome<H> {
    /// This, and after it what was decided about the head that it left.
    fn then(&self, later: Self) -> Self {
        let edits: Vec<Edit> = self.edits().iter().chain(later.edits()).cloned().collect();
        later.with_edits(edits)
    }
}
