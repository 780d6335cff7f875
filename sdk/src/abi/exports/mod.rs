//! The functions that the proxy calls: the plugin that they reach, and the phases of a request.

mod bodies;
mod calls;
mod connections;
mod macros;
mod upstreams;

use crate::abi::lower;
use crate::abi::raw::{Field, RawConfigured, RawDecision, Slice, Str};
use crate::edits::{Edits, RequestEdits};
use crate::head::{Fields, Request, Response};
use crate::plugin::{OnRequest, OnResponse, Plugin};
use crate::settings;
use calls::CALLS;
use core::cell::UnsafeCell;

pub use connections::{CloseArguments, FlatAddress, HelloArguments};
pub use upstreams::{AttemptArguments, BalanceArguments, DoneArguments};

/// The one plugin of a guest, once it is configured.
pub struct Held<P>(UnsafeCell<Option<P>>);

// SAFETY: a guest has one thread.
unsafe impl<P> Sync for Held<P> {}

impl<P: Plugin> Held<P> {
    #[allow(clippy::new_without_default, reason = "only ever a static")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    #[inline]
    fn plugin(&'static self) -> &'static P {
        // SAFETY: written in `configure` only, which does not run while another function does.
        match unsafe { &*self.0.get() } {
            Some(plugin) => plugin,
            // The proxy configures each guest before its first phase.
            None => core::arch::wasm32::unreachable(),
        }
    }

    pub fn describe() -> *const Str<'static> {
        CALLS.enter(|arena| arena.put(arena.text(&settings::describe::<P>())))
    }

    /// # Safety
    /// `start` and `len` are a `string` that the proxy lowered for this call.
    pub unsafe fn configure(&'static self, start: *const u8, len: usize) -> *const RawConfigured<'static> {
        CALLS.enter(|arena| {
            // SAFETY: the caller's promise. Nothing keeps the text: `configure` returns owned values.
            let text = unsafe { Str::new(start, len).text() };
            let outcome = settings::configure::<P>(text).map(|(plugin, plan)| {
                // SAFETY: no phase runs now, so no one holds a borrow of the plugin before.
                unsafe { *self.0.get() = Some(plugin) };
                plan
            });
            arena.put(lower::configured(arena, outcome))
        })
    }
}

/// `list<header>` or `list<attribute>` as the proxy passes it.
///
/// # Safety
/// `start` and `len` are a list that the proxy lowered for this call.
#[inline]
unsafe fn list(start: *const Field<'static>, len: usize) -> &'static [Field<'static>] {
    // SAFETY: the caller's promise. `'static` is a lie that does not get out: plugin code sees these borrows through a
    // `Request<'_>` or `Response<'_>` of any lifetime, which it cannot keep.
    unsafe { Slice::new(start, len) }.items()
}

/// The flat arguments of `on-request`, in order. `query` is an option: 0 or 1, then the string.
#[derive(Clone, Copy)]
pub struct RequestArguments {
    pub exchange: u64,
    pub method: (*const u8, usize),
    pub scheme: (*const u8, usize),
    pub authority: (*const u8, usize),
    pub path: (*const u8, usize),
    pub query: (u32, *const u8, usize),
    pub headers: (*const Field<'static>, usize),
    pub attributes: (*const Field<'static>, usize),
}

impl<P: OnRequest> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_request(&'static self, given: RequestArguments) -> *const RawDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: each pair is a `string` or list that the proxy lowered for this call; see `list` for the lifetime.
            let request = unsafe {
                let text = |(start, len)| Str::new(start, len).text();
                Request {
                    exchange: given.exchange,
                    method: text(given.method),
                    scheme: text(given.scheme),
                    authority: text(given.authority),
                    path: text(given.path),
                    query: (given.query.0 != 0).then(|| text((given.query.1, given.query.2))),
                    fields: Fields {
                        headers: list(given.headers.0, given.headers.1),
                        attributes: list(given.attributes.0, given.attributes.1),
                    },
                }
            };
            let mut edits = RequestEdits(Edits::new(arena));
            let verdict = self.plugin().on_request(&request, &mut edits);
            CALLS.decide(verdict, edits.0)
        })
    }
}

impl<P: OnResponse> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_response(
        &'static self,
        exchange: u64,
        status: u32,
        headers: (*const Field<'static>, usize),
        attributes: (*const Field<'static>, usize),
    ) -> *const RawDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let fields = unsafe { Fields { headers: list(headers.0, headers.1), attributes: list(attributes.0, attributes.1) } };
            // A `u16` travels as an `i32`; the canonical ABI keeps it within 16 bits.
            let response = Response { exchange, status: status as u16, fields };
            let mut edits = Edits::new(arena);
            let verdict = self.plugin().on_response(&response, &mut edits);
            CALLS.decide(verdict.into(), edits)
        })
    }
}
