//! The phases of bodies. What a plugin wants with a body is kept here until the body, or its exchange, is over.

use super::calls::CALLS;
use super::{Held, list};
use crate::abi::arena::{Arena, List};
use crate::abi::lower;
use crate::abi::raw::{
    Field, Maybe, RawBodyDecision, RawBodyEnd, RawBodyOutput, RawBodyPlan, RawBodyStart, RawEdit, RawPiece, RawRequestBegin, RawWant,
    Slice, Str, Text,
};
use crate::body::{
    Given, Output, Part, RequestBegin, RequestBody, ResponseBegin, ResponseBody, TrailerEdit, Trailers, Transform, Watch, Whole,
};
use crate::edits::{Edits, RequestEdits};
use crate::exchange;
use crate::head::{Fields, Request, Response};
use crate::plan::Plan;
use crate::plugin::{OnRequestBody, OnResponseBody, Plugin};
use crate::verdict::{Bytes, ResponseVerdict, Verdict};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Bodies that are open: a request's by its exchange, a response's likewise.
struct Open {
    request: BTreeMap<u64, Handler<RequestJudge>>,
    response: BTreeMap<u64, Handler<ResponseJudge>>,
    /// Of the last output, which the proxy has read before it calls again.
    given: Given,
    /// Of the last decision.
    replaced: Option<Bytes>,
}

type RequestJudge = Box<dyn FnOnce(&mut Whole<'_>, &mut RequestEdits<'_>) -> Verdict>;
type ResponseJudge = Box<dyn FnOnce(&mut Whole<'_>, &mut Edits<'_>) -> ResponseVerdict>;

enum Handler<J> {
    Watch(Box<dyn Watch>),
    Transform(Box<dyn Transform>),
    Judge(J),
}

struct Single(RefCell<Open>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Single {}

static OPEN: Single =
    Single(RefCell::new(Open { request: BTreeMap::new(), response: BTreeMap::new(), given: Given::new(), replaced: None }));

impl<P: Plugin> Held<P> {
    pub fn plan_bodies(&'static self) -> *const RawBodyPlan<'static> {
        CALLS.enter(|arena| {
            let mut plan = Plan::default();
            self.plugin().plan(&mut plan);
            arena.put(lower::body_plan(arena, &plan))
        })
    }

    pub fn release(&'static self, exchange: u64) {
        CALLS.enter(|_| {
            let (request, response) = {
                let open = &mut *OPEN.0.borrow_mut();
                (open.request.remove(&exchange), open.response.remove(&exchange))
            };
            drop((request, response));
            exchange::release(exchange);
            &()
        });
    }
}

impl<P: OnRequestBody> Held<P> {
    /// # Safety
    /// What the proxy passed to this call.
    pub unsafe fn begin_request(&'static self, given: *const RawRequestBegin<'static>) -> *const RawBodyStart<'static> {
        CALLS.enter(|arena| {
            // SAFETY: the proxy has lowered the arguments there; see `list` for the lifetime.
            let given: RawRequestBegin<'static> = unsafe { *given };
            // SAFETY: `string` in the contract.
            let text = |text: Str<'static>| unsafe { text.text() };
            let head = Request {
                exchange: given.exchange,
                method: text(given.method),
                scheme: text(given.scheme),
                authority: text(given.authority),
                path: text(given.path),
                query: match given.query {
                    Text::Some(query) => Some(text(query)),
                    Text::None => None,
                },
                fields: Fields { headers: given.headers.items(), attributes: given.attributes.items() },
            };
            let length = match given.length {
                Maybe::Some(length) => Some(length),
                Maybe::None => None,
            };
            let mut edits = RequestEdits(Edits::new(arena));
            let (want, handler) = match self.plugin().on_request_body(&RequestBegin { head, length }, &mut edits) {
                RequestBody::Pass => (RawWant::Pass, None),
                RequestBody::Watch(watch) => (RawWant::Watch, Some(Handler::Watch(watch))),
                RequestBody::Transform(transform) => (RawWant::Transform, Some(Handler::Transform(transform))),
                RequestBody::Buffer(most, judge) => (RawWant::Buffer(most), Some(Handler::Judge(judge))),
            };
            if let Some(handler) = handler {
                OPEN.0.borrow_mut().request.insert(given.exchange, handler);
            }
            arena.put(RawBodyStart { want, edits: edits.0.list.finish() })
        })
    }
}

impl<P: OnResponseBody> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    pub unsafe fn begin_response(
        &'static self,
        exchange: u64,
        status: u32,
        headers: (*const Field<'static>, usize),
        attributes: (*const Field<'static>, usize),
        length: Option<u64>,
    ) -> *const RawBodyStart<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let fields = unsafe { Fields { headers: list(headers.0, headers.1), attributes: list(attributes.0, attributes.1) } };
            let head = Response { exchange, status: status as u16, fields };
            let mut edits = Edits::new(arena);
            let (want, handler) = match self.plugin().on_response_body(&ResponseBegin { head, length }, &mut edits) {
                ResponseBody::Pass => (RawWant::Pass, None),
                ResponseBody::Watch(watch) => (RawWant::Watch, Some(Handler::Watch(watch))),
                ResponseBody::Transform(transform) => (RawWant::Transform, Some(Handler::Transform(transform))),
                ResponseBody::Buffer(most, judge) => (RawWant::Buffer(most), Some(Handler::Judge(judge))),
            };
            if let Some(handler) = handler {
                OPEN.0.borrow_mut().response.insert(exchange, handler);
            }
            arena.put(RawBodyStart { want, edits: edits.list.finish() })
        })
    }
}

/// What happens to pieces, the same in both ways.
fn watch<J>(handler: Option<&mut Handler<J>>, piece: &[u8]) {
    match handler {
        Some(Handler::Watch(watch)) => watch.piece(piece),
        // The proxy calls what was wanted, and nothing after `release`.
        _ => core::arch::wasm32::unreachable(),
    }
}

fn transform<J>(handler: Option<&mut Handler<J>>, piece: &[u8], given: Given) -> Given {
    let mut out = Output::new(piece, given);
    match handler {
        Some(Handler::Transform(transform)) => transform.piece(piece, &mut out),
        _ => core::arch::wasm32::unreachable(),
    }
    out.finish()
}

fn end<J>(handler: Option<Handler<J>>, trailers: &mut Trailers, given: Given) -> Given {
    let mut out = Output::new(&[], given);
    match handler {
        Some(Handler::Watch(mut watch)) => watch.end(trailers),
        Some(Handler::Transform(mut transform)) => transform.end(&mut out, trailers),
        _ => core::arch::wasm32::unreachable(),
    }
    out.finish()
}

/// The parts of an output as the contract passes them; they point into what stays in `OPEN`.
fn pieces(arena: &'static Arena, given: &Given) -> Slice<'static, RawPiece<'static>> {
    let mut list = List::new();
    for part in &given.parts {
        list.push(
            arena,
            match part {
                Part::Keep(range) => RawPiece::Keep(range.start as u32, range.len() as u32),
                // SAFETY: `given` stays in `OPEN`, untouched, until the proxy makes its next call.
                Part::Bytes(range) => RawPiece::Bytes(unsafe { Str::new(given.bytes.as_ptr().add(range.start), range.len()) }),
            },
        );
    }
    list.finish()
}

fn received(lines: &'static [Field<'static>]) -> Trailers {
    let lines = lines.iter().map(|field| (field.name().into(), field.value().into())).collect();
    Trailers { lines, edits: Vec::new() }
}

fn trailer_edits(arena: &'static Arena, edits: &[TrailerEdit]) -> Slice<'static, RawEdit<'static>> {
    let mut list = List::new();
    for edit in edits {
        list.push(
            arena,
            match edit {
                TrailerEdit::Set(name, value) => RawEdit::SetHeader(arena.field(name, value)),
                TrailerEdit::Remove(name) => RawEdit::RemoveHeader(arena.text(name)),
            },
        );
    }
    list.finish()
}

macro_rules! way {
    ($of:ident, $open:ident, $watch:ident, $transform:ident, $end:ident, $whole:ident, $edits:expr, $finish:expr) => {
        impl<P: $of> Held<P> {
            /// # Safety
            /// The arguments are those that the proxy passed to this call.
            pub unsafe fn $watch(&'static self, exchange: u64, start: *const u8, len: usize) {
                CALLS.enter(|_| {
                    // SAFETY: the caller's promise.
                    let piece = unsafe { Str::new(start, len) };
                    watch(OPEN.0.borrow_mut().$open.get_mut(&exchange), piece.bytes());
                    &()
                });
            }

            /// # Safety
            /// The arguments are those that the proxy passed to this call.
            #[inline]
            pub unsafe fn $transform(&'static self, exchange: u64, start: *const u8, len: usize) -> *const RawBodyOutput<'static> {
                CALLS.enter(|arena| {
                    // SAFETY: the caller's promise.
                    let piece = unsafe { Str::new(start, len) };
                    let open = &mut *OPEN.0.borrow_mut();
                    open.given = transform(open.$open.get_mut(&exchange), piece.bytes(), core::mem::take(&mut open.given));
                    arena.put(RawBodyOutput { pieces: pieces(arena, &open.given), more: open.given.more })
                })
            }

            /// # Safety
            /// The arguments are those that the proxy passed to this call.
            pub unsafe fn $end(&'static self, exchange: u64, trailers: (*const Field<'static>, usize)) -> *const RawBodyEnd<'static> {
                CALLS.enter(|arena| {
                    // SAFETY: as in `on_request`.
                    let mut trailers = received(unsafe { list(trailers.0, trailers.1) });
                    let open = &mut *OPEN.0.borrow_mut();
                    open.given = end(open.$open.remove(&exchange), &mut trailers, core::mem::take(&mut open.given));
                    arena.put(RawBodyEnd { pieces: pieces(arena, &open.given), edits: trailer_edits(arena, &trailers.edits) })
                })
            }

            /// # Safety
            /// The arguments are those that the proxy passed to this call.
            pub unsafe fn $whole(
                &'static self,
                exchange: u64,
                start: *const u8,
                len: usize,
                trailers: (*const Field<'static>, usize),
            ) -> *const RawBodyDecision<'static> {
                CALLS.enter(|arena| {
                    // SAFETY: the caller's promise; see `list` for the lifetime.
                    let (bytes, trailers) = unsafe { (Str::new(start, len).bytes(), list(trailers.0, trailers.1)) };
                    let handler = OPEN.0.borrow_mut().$open.remove(&exchange);
                    let Some(Handler::Judge(judge)) = handler else { core::arch::wasm32::unreachable() };
                    let mut whole = Whole { bytes, trailers: received(trailers), replaced: None };
                    let mut edits = $edits(arena);
                    let verdict = judge(&mut whole, &mut edits);
                    let decided = CALLS.decide(verdict.into(), $finish(edits));
                    let open = &mut *OPEN.0.borrow_mut();
                    open.replaced = whole.replaced;
                    let body = match &open.replaced {
                        // SAFETY: it stays in `OPEN`, untouched, until the proxy makes its next call.
                        Some(bytes) => Maybe::Some(unsafe { Str::new(bytes.as_slice().as_ptr(), bytes.as_slice().len()) }),
                        None => Maybe::None,
                    };
                    arena.put(RawBodyDecision { verdict: decided.verdict, edits: decided.edits, body })
                })
            }
        }
    };
}
way!(
    OnRequestBody,
    request,
    watch_request,
    transform_request,
    end_request,
    whole_request,
    |arena| RequestEdits(Edits::new(arena)),
    |edits: RequestEdits<'static>| edits.0
);
way!(OnResponseBody, response, watch_response, transform_response, end_response, whole_response, Edits::new, |edits: Edits<'static>| edits);
