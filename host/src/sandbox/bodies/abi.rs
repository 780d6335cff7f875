//! What guests say about bodies, out of their memory and into checked types: every length is bounded before anything is copied, and bytes
//! are copied once.

#![allow(unsafe_code, reason = "hand-written ComponentType/Lift; the layout and type check are the derived ones")]

use super::super::lift::{self, BadOutput, Phase};
use super::super::types as heads;
use super::types;
use crate::chain::{Decision, Edit, End, Judged, Output, Part, Start, Want};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use wasmtime::Result;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Func, Lift, TypedFunc};

/// Pieces of one output.
const MOST_PIECES: usize = 1024;
/// All bytes of one output, and of a whole body.
const MOST_BYTES: usize = 4 << 20;

/// Layout in memory (canonical ABI, 32 bit).
const START_EDITS: usize = 8;
const OUTPUT_MORE: usize = 8;
const END_EDITS: usize = 8;
const PIECE: usize = 12;
const PIECE_PAYLOAD: usize = 4;
const DECISION_BODY: usize = 32;

// The same as wasmtime derives it.
const _: () = {
    assert!(<types::BodyStart as ComponentType>::SIZE32 == 16);
    assert!(<types::BodyPiece as ComponentType>::SIZE32 == PIECE);
    assert!(<types::BodyOutput as ComponentType>::SIZE32 == 12);
    assert!(<types::BodyEnd as ComponentType>::SIZE32 == 16);
    assert!(<types::BodyDecision as ComponentType>::SIZE32 == 44);
};

/// A `body-start`, checked.
pub(in super::super) struct Started<const REQUEST: bool>(pub(in super::super) Start);
/// A `body-output`; whether its ranges lie within the piece is for the caller to see.
pub(in super::super) struct Given(pub(in super::super) Output);
/// A `body-end`, checked.
pub(in super::super) struct Ended(pub(in super::super) End);
/// A `body-decision`, checked.
pub(in super::super) struct Found<const REQUEST: bool>(pub(in super::super) Judged);

pub(in super::super) type BeginRequest = TypedFunc<(u64, heads::RequestHead<'static>, Option<u64>), (Started<true>,)>;
pub(in super::super) type BeginResponse = TypedFunc<(u64, heads::ResponseHead<'static>, Option<u64>), (Started<false>,)>;
pub(in super::super) type Watch = TypedFunc<(u64, &'static [u8]), ()>;
pub(in super::super) type Transform = TypedFunc<(u64, &'static [u8]), (Given,)>;
pub(in super::super) type AtEnd = TypedFunc<(u64, &'static [heads::Header<'static>]), (Ended,)>;
pub(in super::super) type Whole<const REQUEST: bool> =
    TypedFunc<(u64, &'static [u8], &'static [heads::Header<'static>]), (Found<REQUEST>,)>;
pub(in super::super) type Release = TypedFunc<(u64,), ()>;

/// Types a function of a component whose export was compared with just these types when it was loaded (`plugin`).
pub(super) fn typed<P, R>(func: Func) -> TypedFunc<P, R>
where
    P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
    R: wasmtime::component::ComponentNamedList + Lift,
{
    // SAFETY: `Exports::find` has compared the export's type with exactly these types, and a component's exports do not change.
    unsafe { TypedFunc::new_unchecked(func) }
}

macro_rules! as_derived {
    ($([$($request:ident)?] $name:ty => $derived:ty;)*) => {$(
        // SAFETY: layout and type check are those of the derived type that stands for the same WIT type.
        unsafe impl<$(const $request: bool)?> ComponentType for $name {
            type Lower = <$derived as ComponentType>::Lower;
            const ABI: CanonicalAbiInfo = <$derived as ComponentType>::ABI;
            fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
                <$derived>::typecheck(ty, types)
            }
        }
    )*};
}
as_derived! {
    [REQUEST] Started<REQUEST> => types::BodyStart;
    [] Given => types::BodyOutput;
    [] Ended => types::BodyEnd;
    [REQUEST] Found<REQUEST> => types::BodyDecision;
}

fn never_flat<T>() -> Result<T> {
    Err(wasmtime::Error::msg("a record of lists is never flat"))
}

const fn phase(request: bool) -> Phase {
    if request { Phase::Request } else { Phase::Response }
}

// SAFETY (of the four): read only through `lift`, which checks every bound.
unsafe impl<const REQUEST: bool> Lift for Started<REQUEST> {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        never_flat()
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        let want = match lift::byte(area)? {
            0 => Want::Pass,
            1 => Want::Watch,
            2 => Want::Transform,
            3 => Want::Buffer(lift::word(lift::at(area, 4)?)?),
            other => return Err(BadOutput::new(format!("no such want: {other}")).into()),
        };
        let edits = lift::edits(cx.memory(), lift::at(area, START_EDITS)?, phase(REQUEST))?;
        Ok(Self(Start { want, edits }))
    }
}

unsafe impl Lift for Given {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        never_flat()
    }

    #[inline]
    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        let more = match lift::byte(lift::at(area, OUTPUT_MORE)?)? {
            0 => false,
            1 => true,
            other => return Err(BadOutput::new(format!("no such bool: {other}")).into()),
        };
        let mut output = Output { more, ..Output::default() };
        pieces(cx.memory(), area, |part| output.parts.push(part))?;
        Ok(Self(output))
    }
}

unsafe impl Lift for Ended {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        never_flat()
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        let (mut parts, mut ranges) = (Vec::new(), false);
        pieces(cx.memory(), area, |part| match part {
            Part::Bytes(bytes) => parts.push(bytes),
            Part::Keep(_) => ranges = true,
        })?;
        if ranges {
            return Err(BadOutput::new("a range at the end of a body, where there is no piece for it").into());
        }
        let edits = lift::edits(cx.memory(), lift::at(area, END_EDITS)?, Phase::Response)?;
        if edits.iter().any(|edit| matches!(edit, Edit::SetAttribute(..))) {
            return Err(BadOutput::new("an attribute at the end of a body").into());
        }
        Ok(Self(End { parts, edits }))
    }
}

unsafe impl<const REQUEST: bool> Lift for Found<REQUEST> {
    fn linear_lift_from_flat(_: &mut LiftContext<'_>, _: InterfaceType, _: &Self::Lower) -> Result<Self> {
        never_flat()
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, area: &[u8]) -> Result<Self> {
        let decision: Decision = lift::decision(cx.memory(), area, phase(REQUEST))?;
        let option = lift::at(area, DECISION_BODY)?;
        let body = match lift::byte(option)? {
            0 => None,
            1 => Some(Bytes::copy_from_slice(bounded(cx.memory(), lift::at(option, 4)?, &mut 0)?)),
            other => return Err(BadOutput::new(format!("no such option: {other}")).into()),
        };
        Ok(Self(Judged { decision, body }))
    }
}

/// Each piece of the list whose pointer and length stand at the start of `area`. Neighbours that are bytes share one allocation.
#[inline]
fn pieces(memory: &[u8], area: &[u8], mut take: impl FnMut(Part)) -> std::result::Result<(), BadOutput> {
    let records = lift::records(memory, area, PIECE, MOST_PIECES)?;
    let (mut total, mut joined) = (0, BytesMut::new());
    let single = records.len() == 1;
    for record in records {
        let payload = lift::at(record, PIECE_PAYLOAD)?;
        match lift::byte(record)? {
            0 => {
                let (start, length) = lift::span(payload)?;
                if !joined.is_empty() {
                    take(Part::Bytes(joined.split().freeze()));
                }
                let end = start.checked_add(length).ok_or_else(|| BadOutput::new("a range without an end"))?;
                take(Part::Keep(start..end));
            }
            1 if single => take(Part::Bytes(Bytes::copy_from_slice(bounded(memory, payload, &mut total)?))),
            1 => joined.extend_from_slice(bounded(memory, payload, &mut total)?),
            other => return Err(BadOutput::new(format!("no such piece: {other}"))),
        }
    }
    if !joined.is_empty() {
        take(Part::Bytes(joined.freeze()));
    }
    Ok(())
}

#[inline]
fn bounded<'m>(memory: &'m [u8], pair: &[u8], total: &mut usize) -> std::result::Result<&'m [u8], BadOutput> {
    let (start, length) = lift::span(pair)?;
    *total += length;
    if *total > MOST_BYTES {
        return Err(BadOutput::new("more than 4 MiB of a body at once"));
    }
    lift::within(memory, start, length)
}

/// Whether what was given fits the piece that was shown.
pub(in super::super) fn check(output: &Output, piece: usize) -> std::result::Result<(), BadOutput> {
    let mut from = 0;
    for part in &output.parts {
        if let Part::Keep(range) = part {
            if range.start < from || range.end > piece {
                return Err(BadOutput::new(format!(
                    "keeps {}..{} of a piece of {piece} bytes, {from} of which are gone",
                    range.start, range.end
                )));
            }
            from = range.end;
        }
    }
    let empty = || {
        output
            .parts
            .iter()
            .all(|part| matches!(part, Part::Keep(range) if range.is_empty()) || matches!(part, Part::Bytes(bytes) if bytes.is_empty()))
    };
    if output.more && empty() {
        return Err(BadOutput::new("has more to give, and gives nothing"));
    }
    Ok(())
}

/// Trailers, or all fields of a head that a guest may see.
pub(in super::super) fn lines(headers: &HeaderMap) -> Vec<heads::Header<'_>> {
    let shown = headers.iter().filter(|(name, _)| !super::super::fields::is_hidden(name));
    shown.map(|(name, value)| heads::Header { name: name.as_str(), value: value.as_bytes() }).collect()
}
