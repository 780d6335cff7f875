//! The bridge to wasmtime's calling convention: arguments by `lower`, results by `lift`, types checked by derive. All `unsafe` of a call
//! stands here.
//!
//! The derived way across costs 711 ns where this costs 437, because it copies into owned strings that are parsed and copied again.
//! The traits' methods are hidden from wasmtime's documentation, so its version is pinned; the layout is asserted
//! below, and tests hold this against the derived way.

#![allow(unsafe_code, reason = "hand-written ComponentType/Lower/Lift; the layout and type check are the derived ones")]

use super::connection::types as connection;
use super::inputs::{RequestInputs, ResponseInputs};
use super::lift::{self, BadOutput, Phase};
use super::lower::{self, Space};
use super::passing::Passing;
use super::types;
use super::upstreams::types as upstreams;
use crate::chain::Decision;
use std::mem::MaybeUninit;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentType, Func, Lift, Lower, TypedFunc};
use wasmtime::{Result, ValRaw};

// What `lift` and `lower` believe, against what wasmtime derives from the types.
const _: () = {
    assert!(<types::Decision as ComponentType>::SIZE32 == lift::DECISION);
    assert!(<types::Decision as ComponentType>::ALIGN32 == 4);
    assert!(<types::Edit as ComponentType>::SIZE32 == lift::EDIT);
    assert!(<types::OwnedHeader as ComponentType>::SIZE32 == lift::HEADER);
    assert!(size_of::<<types::RequestHead<'static> as ComponentType>::Lower>() == size_of::<[ValRaw; 15]>());
    assert!(size_of::<<types::ResponseHead<'static> as ComponentType>::Lower>() == size_of::<[ValRaw; 5]>());
};

/// `on-request`'s `head`: passed flat, with `exchange` exactly the 16 parameters that the canonical ABI passes so.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) inputs: &'a RequestInputs<'a>,
    /// Where it may lie (`lower::Room`).
    pub(super) passing: &'a Passing,
}

/// `on-response`'s `head`.
#[derive(Clone, Copy)]
pub(super) struct Response<'a> {
    pub(super) inputs: &'a ResponseInputs<'a>,
    pub(super) passing: &'a Passing,
}

/// A `decision`, checked.
pub(super) struct Decided<const REQUEST: bool>(pub(super) Decision);

/// What `configure` returns when only whether it accepted matters.
pub(super) struct Accepted(pub(super) bool);

pub(super) type OnRequest = TypedFunc<(u64, Request<'static>), (Decided<true>,)>;
pub(super) type OnResponse = TypedFunc<(u64, Response<'static>), (Decided<false>,)>;
pub(super) type OnAccept = TypedFunc<(u64, connection::Accepted<'static>), (connection::AcceptDecision,)>;
pub(super) type OnClientHello = TypedFunc<(u64, connection::ClientHello<'static>), (connection::HelloDecision,)>;
pub(super) type OnClose = TypedFunc<(u64, connection::Closed<'static>), ()>;
pub(super) type OnBalance = TypedFunc<(u64, upstreams::Choice<'static>), (upstreams::BalanceDecision,)>;
pub(super) type OnAttempt = TypedFunc<(u64, upstreams::FailedAttempt<'static>), (upstreams::AttemptDecision,)>;
pub(super) type OnDone = TypedFunc<(u64, upstreams::Done<'static>), ()>;
pub(super) type OnTick = TypedFunc<(upstreams::Tick,), ()>;
pub(super) type Reconfigure = TypedFunc<(&'static str,), (Accepted,)>;

/// Types a function that `load` has checked once for its component.
pub(super) fn on_request(func: Func) -> OnRequest {
    // SAFETY: `load` has compared the export's type with exactly these types, and a component's exports do not change.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_response(func: Func) -> OnResponse {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_accept(func: Func) -> OnAccept {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_client_hello(func: Func) -> OnClientHello {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_close(func: Func) -> OnClose {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_balance(func: Func) -> OnBalance {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_attempt(func: Func) -> OnAttempt {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_done(func: Func) -> OnDone {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn on_tick(func: Func) -> OnTick {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

/// As [`on_request`].
pub(super) fn reconfigure(func: Func) -> Reconfigure {
    // SAFETY: as above.
    unsafe { TypedFunc::new_unchecked(func) }
}

// SAFETY (of the four): layout and type check are those of the derived type that stands for the same WIT type.
unsafe impl ComponentType for Request<'_> {
    type Lower = [ValRaw; 15];
    const ABI: CanonicalAbiInfo = <types::RequestHead<'static> as ComponentType>::ABI;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        types::RequestHead::typecheck(ty, types)
    }
}

unsafe impl ComponentType for Response<'_> {
    type Lower = [ValRaw; 5];
    const ABI: CanonicalAbiInfo = <types::ResponseHead<'static> as ComponentType>::ABI;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        types::ResponseHead::typecheck(ty, types)
    }
}

unsafe impl<const REQUEST: bool> ComponentType for Decided<REQUEST> {
    type Lower = <types::Decision as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <types::Decision as ComponentType>::ABI;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        types::Decision::typecheck(ty, types)
    }
}

unsafe impl ComponentType for Accepted {
    type Lower = <types::Configured as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <types::Configured as ComponentType>::ABI;
    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        types::Configured::typecheck(ty, types)
    }
}

// SAFETY: writes all 15 values; each pair is a span that the guest's `realloc` gave and that has been filled.
unsafe impl Lower for Request<'_> {
    #[inline(always)]
    fn linear_lower_to_flat<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, flat: &mut MaybeUninit<[ValRaw; 15]>) -> Result<()> {
        check_encoding(cx)?;
        flat.write(lower::request(&mut Inside(cx), self.inputs, self.passing)?);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        Err(wasmtime::Error::msg("a head is always passed flat"))
    }
}

// SAFETY: as above, all 5 values.
unsafe impl Lower for Response<'_> {
    #[inline(always)]
    fn linear_lower_to_flat<T>(&self, cx: &mut LowerContext<'_, T>, _: InterfaceType, flat: &mut MaybeUninit<[ValRaw; 5]>) -> Result<()> {
        check_encoding(cx)?;
        flat.write(lower::response(&mut Inside(cx), self.inputs, self.passing)?);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        Err(wasmtime::Error::msg("a head is always passed flat"))
    }
}

/// A guest's memory while wasmtime lowers into it.
struct Inside<'c, 'x, T: 'static>(&'c mut LowerContext<'x, T>);

impl<T> Space for Inside<'_, '_, T> {
    #[inline(always)]
    fn realloc(&mut self, align: usize, length: usize) -> Result<usize> {
        self.0.realloc(0, 0, align as u32, length)
    }

    #[inline(always)]
    fn memory(&mut self) -> &mut [u8] {
        self.0.as_slice_mut()
    }
}

/// Strings are copied as they are, so a guest must want UTF-8. Every toolchain's does.
#[inline(always)]
fn check_encoding<T>(cx: &LowerContext<'_, T>) -> Result<()> {
    match cx.options().string_encoding {
        StringEncoding::Utf8 => Ok(()),
        _ => Err(BadOutput::new("a plugin must use UTF-8 strings").into()),
    }
}

// SAFETY: reads only through `lift`, which checks every bound.
unsafe impl<const REQUEST: bool> Lift for Decided<REQUEST> {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        Err(wasmtime::Error::msg("a decision is never flat"))
    }

    #[inline(always)]
    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        let phase = if REQUEST { Phase::Request } else { Phase::Response };
        Ok(Self(lift::decision(cx.memory(), area, phase)?))
    }
}

// SAFETY: reads one byte of the area that wasmtime has bounded.
unsafe impl Lift for Accepted {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        Err(wasmtime::Error::msg("a plan is never flat"))
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        match area.first() {
            Some(0) => Ok(Self(true)),
            Some(1) => Ok(Self(false)),
            _ => Err(BadOutput::new("no such result of `configure`").into()),
        }
    }
}
