//! The phases of a connection.

use super::calls::CALLS;
use super::{Held, list};
use crate::abi::lower;
use crate::abi::raw::{Field, RawAcceptDecision, RawConnectionPlan, RawHelloDecision, Slice, Str};
use crate::connection::{Accepted, Attributes, ClientHello, Closed, ConnectionEdits};
use crate::plan::Plan;
use crate::plugin::{OnAccept, OnClientHello, OnClose, Plugin};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
