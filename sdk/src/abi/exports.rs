//! The functions that the proxy calls, and the allocator that it lowers arguments with.
//!
//! A guest is one thread and the component model forbids re-entering it, so statics here are never seen by two calls at once.

use super::arena::Arena;
use super::lower;
use super::raw::{Field, RawAcceptDecision, RawConfigured, RawConnectionPlan, RawDecision, RawHelloDecision, Slice, Str};
use crate::connection::{Accepted, Attributes, ClientHello, Closed, ConnectionEdits};
use crate::edits::{Edits, RequestEdits};
use crate::head::{Fields, Request, Response};
use crate::plan::Plan;
use crate::plugin::{OnAccept, OnClientHello, OnClose, OnRequest, OnResponse, Plugin};
use crate::settings;
use crate::verdict::Verdict;
use alloc::alloc::{Layout, alloc, realloc};
use core::cell::{Cell, UnsafeCell};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ptr;

/// Where a guest is in the life of a call. Decides what `cabi_realloc` gives out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Plugin code runs, or the guest is being initialised: imports may return lists, which the plugin then owns and frees with
    /// the ordinary allocator.
    Running,
    /// A call has returned. The proxy may still be reading the result in the arena; the next allocation belongs to the next call.
    Between,
    /// The arguments of the next call are being lowered.
    Lowering,
}

/// In this order: the arena's block is last, away from what is written in any case.
#[repr(C)]
struct Calls {
    stage: Cell<Stage>,
    arena: Arena,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Calls {}

/// All zeros, so that its block is no part of the file.
static CALLS: Calls = Calls { stage: Cell::new(Stage::Running), arena: Arena::new() };

/// The last verdict, which the result in the arena points into.
struct Kept(UnsafeCell<Verdict>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept(UnsafeCell::new(Verdict::Next));

impl Calls {
    /// The first step of a new call, whether that is lowering an argument or, without any to lower, the function itself.
    #[inline]
    fn begin(&self) {
        if self.stage.get() == Stage::Between {
            // SAFETY: the proxy has read the last result before it makes the next call, and no borrow of the plugin outlived that call.
            unsafe { self.arena.clear() };
        }
    }

    /// Runs plugin code and says where its result is.
    #[inline]
    fn enter<T: 'static>(&'static self, call: impl FnOnce(&'static Arena) -> &'static T) -> *const T {
        self.begin();
        self.stage.set(Stage::Running);
        let result: *const T = call(&self.arena);
        self.stage.set(Stage::Between);
        result
    }

    /// Writes the decision and keeps what it points into until the next one.
    #[inline]
    fn decide(&'static self, verdict: Verdict, edits: Edits<'static>) -> &'static RawDecision<'static> {
        // SAFETY: the only other borrow is the one made here for the last call, which the proxy is done with (see `begin`).
        let kept: &'static Verdict = unsafe {
            *KEPT.0.get() = verdict;
            &*KEPT.0.get()
        };
        self.arena.put(lower::decision(&self.arena, kept, edits.list.finish()))
    }
}

/// Where the proxy lowers arguments, and where results of imports go.
///
/// # Safety
/// Called by the proxy as the canonical ABI says: `old` is null with `old_len` 0, or a block that was given out here.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, len: usize) -> *mut u8 {
    if CALLS.stage.get() == Stage::Running {
        // SAFETY: the caller's promise; a non-zero length and a power of two as alignment are the canonical ABI's.
        return unsafe { own(old, old_len, align, len) };
    }
    CALLS.begin();
    CALLS.stage.set(Stage::Lowering);
    let new = CALLS.arena.alloc(align, len);
    if old_len > 0 {
        // SAFETY: `old` holds `old_len` bytes, `new` has room for `len`, and the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(old, new, old_len.min(len)) };
    }
    new
}

/// # Safety
/// As `cabi_realloc`.
unsafe fn own(old: *mut u8, old_len: usize, align: usize, len: usize) -> *mut u8 {
    if len == 0 {
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: `align` is a power of two, `len` is not 0, and `old` came from here with the layout it is given back with.
    let new = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(len, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_len, align), len)
        }
    };
    if new.is_null() {
        // Out of memory: a fault, like any other of a plugin that takes too much.
        core::arch::wasm32::unreachable();
    }
    new
}

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

/// The flat form of `socket-address`: the case, then as many numbers as the larger one has.
pub type FlatAddress = (u32, u64, u64, u32);

#[inline]
fn address((case, first, second, third): FlatAddress) -> Option<SocketAddr> {
    match case {
        1 => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(first as u32)), second as u16)),
        2 => Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(first) << 64 | u128::from(second))), third as u16)),
        _ => None,
    }
}

impl<P: Plugin> Held<P> {
    pub fn plan_connections(&'static self) -> *const RawConnectionPlan<'static> {
        CALLS.enter(|arena| {
            let mut plan = Plan::default();
            self.plugin().plan(&mut plan);
            arena.put(lower::connection_plan(arena, &plan))
        })
    }
}

impl<P: OnAccept> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_accept(
        &'static self,
        connection: u64,
        peer: FlatAddress,
        local: FlatAddress,
        attributes: (*const Field<'static>, usize),
    ) -> *const RawAcceptDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let attributes = Attributes { list: unsafe { list(attributes.0, attributes.1) } };
            let accepted = Accepted { connection, peer: address(peer), local: address(local), attributes };
            let mut edits = ConnectionEdits::new(arena);
            let verdict = self.plugin().on_accept(&accepted, &mut edits);
            arena.put(lower::accept_decision(arena, &verdict, edits.list.finish()))
        })
    }
}

/// The flat arguments of `on-client-hello`, in order. `sni` is an option: 0 or 1, then the string.
#[derive(Clone, Copy)]
pub struct HelloArguments {
    pub connection: u64,
    pub sni: (u32, *const u8, usize),
    pub alpn: (*const Str<'static>, usize),
    pub versions: (*const u16, usize),
    pub ciphers: (*const u16, usize),
    pub ja4: (*const u8, usize),
    pub raw: (*const u8, usize),
    pub attributes: (*const Field<'static>, usize),
}

impl<P: OnClientHello> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_client_hello(&'static self, given: HelloArguments) -> *const RawHelloDecision<'static> {
        CALLS.enter(|arena| {
            // SAFETY: as in `on_request`.
            let hello = unsafe {
                ClientHello {
                    connection: given.connection,
                    sni: (given.sni.0 != 0).then(|| Str::new(given.sni.1, given.sni.2).text()),
                    alpn: Slice::new(given.alpn.0, given.alpn.1),
                    versions: Slice::new(given.versions.0, given.versions.1),
                    ciphers: Slice::new(given.ciphers.0, given.ciphers.1),
                    ja4: Str::new(given.ja4.0, given.ja4.1).text(),
                    raw: Str::new(given.raw.0, given.raw.1).bytes(),
                    attributes: Attributes { list: list(given.attributes.0, given.attributes.1) },
                }
            };
            let mut edits = ConnectionEdits::new(arena);
            let verdict = self.plugin().on_client_hello(&hello, &mut edits);
            arena.put(lower::hello_decision(arena, &verdict, edits.list.finish()))
        })
    }
}

/// The flat arguments of `on-close`, in order.
#[derive(Clone, Copy)]
pub struct CloseArguments {
    pub connection: u64,
    pub peer: FlatAddress,
    pub received: u64,
    pub sent: u64,
    pub duration: u64,
    pub reason: (*const u8, usize),
    pub attributes: (*const Field<'static>, usize),
}

impl<P: OnClose> Held<P> {
    /// # Safety
    /// The arguments are those that the proxy passed to this call.
    #[inline]
    pub unsafe fn on_close(&'static self, given: CloseArguments) {
        CALLS.enter(|_| {
            // SAFETY: as in `on_request`.
            let closed = unsafe {
                Closed {
                    connection: given.connection,
                    peer: address(given.peer),
                    received: given.received,
                    sent: given.sent,
                    duration: given.duration,
                    reason: Str::new(given.reason.0, given.reason.1).text(),
                    attributes: Attributes { list: list(given.attributes.0, given.attributes.1) },
                }
            };
            self.plugin().on_close(&closed);
            &()
        });
    }
}

/// Exports `lifecycle`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_lifecycle {
    ($plugin:ty) => {
        static HELD: $crate::abi::exports::Held<$plugin> = $crate::abi::exports::Held::new();

        #[unsafe(link_section = "component-type:portcullis-lifecycle")]
        #[used]
        static LIFECYCLE: [u8; $crate::abi::metadata::LIFECYCLE.len()] = *$crate::abi::metadata::LIFECYCLE;

        // Tells the proxy that all a call is passed may lie in one block: `cabi_realloc` gives out an arena, of which nothing is freed alone.
        // Three calls of it less for a filter that reads a header.
        #[unsafe(link_section = "portcullis:one-block")]
        #[used]
        static ONE_BLOCK: [u8; 1] = *b"1";

        #[unsafe(export_name = "portcullis:plugin/lifecycle@0.1.0#describe")]
        extern "C" fn describe() -> *const $crate::abi::Str<'static> {
            $crate::abi::exports::Held::<$plugin>::describe()
        }

        #[unsafe(export_name = "portcullis:plugin/lifecycle@0.1.0#configure")]
        unsafe extern "C" fn configure(start: *const u8, len: usize) -> *const $crate::abi::RawConfigured<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.configure(start, len) }
        }
    };
}

/// Exports `on-request`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_request {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-request")]
        #[used]
        static ON_REQUEST: [u8; $crate::abi::metadata::ON_REQUEST.len()] = *$crate::abi::metadata::ON_REQUEST;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form of a request head")]
        #[unsafe(export_name = "portcullis:plugin/on-request@0.1.0#on-request")]
        unsafe extern "C" fn on_request(
            exchange: u64,
            method: *const u8,
            method_len: usize,
            scheme: *const u8,
            scheme_len: usize,
            authority: *const u8,
            authority_len: usize,
            path: *const u8,
            path_len: usize,
            has_query: u32,
            query: *const u8,
            query_len: usize,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawDecision<'static> {
            let given = $crate::abi::exports::RequestArguments {
                exchange,
                method: (method, method_len),
                scheme: (scheme, scheme_len),
                authority: (authority, authority_len),
                path: (path, path_len),
                query: (has_query, query, query_len),
                headers: (headers, headers_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_request(given) }
        }
    };
}

/// Exports `on-response`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_response {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-response")]
        #[used]
        static ON_RESPONSE: [u8; $crate::abi::metadata::ON_RESPONSE.len()] = *$crate::abi::metadata::ON_RESPONSE;

        #[unsafe(export_name = "portcullis:plugin/on-response@0.1.0#on-response")]
        unsafe extern "C" fn on_response(
            exchange: u64,
            status: u32,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawDecision<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_response(exchange, status, (headers, headers_len), (attributes, attributes_len)) }
        }
    };
}

/// Exports `connections`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_connections {
    () => {
        #[unsafe(link_section = "component-type:portcullis-connections")]
        #[used]
        static CONNECTIONS: [u8; $crate::abi::metadata::CONNECTIONS.len()] = *$crate::abi::metadata::CONNECTIONS;

        #[unsafe(export_name = "portcullis:plugin/connections@0.1.0#plan-connections")]
        extern "C" fn plan_connections() -> *const $crate::abi::RawConnectionPlan<'static> {
            HELD.plan_connections()
        }
    };
}

/// Exports `on-accept`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_accept {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-accept")]
        #[used]
        static ON_ACCEPT: [u8; $crate::abi::metadata::ON_ACCEPT.len()] = *$crate::abi::metadata::ON_ACCEPT;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-accept@0.1.0#on-accept")]
        unsafe extern "C" fn on_accept(
            connection: u64,
            peer_case: u32,
            peer_first: u64,
            peer_second: u64,
            peer_third: u32,
            local_case: u32,
            local_first: u64,
            local_second: u64,
            local_third: u32,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawAcceptDecision<'static> {
            let peer = (peer_case, peer_first, peer_second, peer_third);
            let local = (local_case, local_first, local_second, local_third);
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_accept(connection, peer, local, (attributes, attributes_len)) }
        }
    };
}

/// Exports `on-client-hello`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_client_hello {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-client-hello")]
        #[used]
        static ON_CLIENT_HELLO: [u8; $crate::abi::metadata::ON_CLIENT_HELLO.len()] = *$crate::abi::metadata::ON_CLIENT_HELLO;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-client-hello@0.1.0#on-client-hello")]
        unsafe extern "C" fn on_client_hello(
            connection: u64,
            has_sni: u32,
            sni: *const u8,
            sni_len: usize,
            alpn: *const $crate::abi::Str<'static>,
            alpn_len: usize,
            versions: *const u16,
            versions_len: usize,
            ciphers: *const u16,
            ciphers_len: usize,
            ja4: *const u8,
            ja4_len: usize,
            raw: *const u8,
            raw_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawHelloDecision<'static> {
            let given = $crate::abi::exports::HelloArguments {
                connection,
                sni: (has_sni, sni, sni_len),
                alpn: (alpn, alpn_len),
                versions: (versions, versions_len),
                ciphers: (ciphers, ciphers_len),
                ja4: (ja4, ja4_len),
                raw: (raw, raw_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_client_hello(given) }
        }
    };
}

/// Exports `on-close`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_close {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-close")]
        #[used]
        static ON_CLOSE: [u8; $crate::abi::metadata::ON_CLOSE.len()] = *$crate::abi::metadata::ON_CLOSE;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-close@0.1.0#on-close")]
        unsafe extern "C" fn on_close(
            connection: u64,
            peer_case: u32,
            peer_first: u64,
            peer_second: u64,
            peer_third: u32,
            received: u64,
            sent: u64,
            duration: u64,
            reason: *const u8,
            reason_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) {
            let given = $crate::abi::exports::CloseArguments {
                connection,
                peer: (peer_case, peer_first, peer_second, peer_third),
                received,
                sent,
                duration,
                reason: (reason, reason_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_close(given) }
        }
    };
}
