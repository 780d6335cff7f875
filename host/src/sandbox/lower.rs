//! Heads into guest memory: straight from the host's types, only what the guest asked for.
//!
//! Every function allocates in the guest by its `realloc`, then copies. wasmtime has checked that what `realloc` returned lies within
//! the memory, and memories never shrink; the bounds are still checked again here, since a guest chose the pointer.

use super::fields::is_hidden;
use super::lift::BadOutput;
use super::plan::Interest;
use crate::message::{Exchange, RequestHead};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use std::borrow::Cow;
use wasmtime::Result;
use wasmtime::component::__internal::LowerContext;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;

/// Pointer and length. An empty string or list may point anywhere that is aligned and within bounds.
pub(super) type Span = (usize, usize);
pub(super) const NOTHING: Span = (4, 0);

/// Bytes of a record of two strings or lists: `header`, `attribute`.
const PAIR: usize = 16;

/// One string or byte list: one allocation, none for an empty one.
#[inline(always)]
pub(super) fn bytes<T>(cx: &mut LowerContext<'_, T>, bytes: &[u8]) -> Result<Span> {
    if bytes.is_empty() {
        return Ok(NOTHING);
    }
    let at = cx.realloc(0, 0, 1, bytes.len())?;
    room(cx, at, bytes.len())?.copy_from_slice(bytes);
    Ok((at, bytes.len()))
}

/// The string if it was asked for.
#[inline(always)]
pub(super) fn if_asked<T>(cx: &mut LowerContext<'_, T>, asked: bool, text: &str) -> Result<Span> {
    if asked { bytes(cx, text.as_bytes()) } else { Ok(NOTHING) }
}

/// `list<header>`: the fields of interest, lines of one name in the order received.
#[inline(always)]
pub(super) fn headers<T>(cx: &mut LowerContext<'_, T>, map: &HeaderMap, interest: &Interest) -> Result<Span> {
    let mut found: SmallVec<[(&HeaderName, &HeaderValue); 24]> = SmallVec::new();
    if interest.all_headers {
        found.extend(map.iter().filter(|(name, _)| !is_hidden(name)));
    } else {
        for name in &interest.headers {
            found.extend(map.get_all(name).iter().map(|value| (name, value)));
        }
    }
    pairs(cx, found.len(), found.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

/// Name and value.
pub(super) type Attribute<'a> = (&'a str, Cow<'a, str>);

/// The attributes of interest that are set, looked up before the call. Into a place of the caller's: a list
/// of eight is long to move, and mostly empty.
#[inline(always)]
pub(super) fn look_up<'a>(
    exchange: &'a Exchange,
    request: &'a RequestHead,
    interest: &'a Interest,
    found: &mut SmallVec<[Attribute<'a>; 8]>,
) {
    for name in &interest.attributes {
        if let Some(value) = exchange.attribute(name, Some(request)) {
            found.push((name, value));
        }
    }
}

/// `list<attribute>`.
#[inline(always)]
pub(super) fn attributes<T>(cx: &mut LowerContext<'_, T>, found: &[Attribute<'_>]) -> Result<Span> {
    pairs(cx, found.len(), found.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

/// A list of records of two strings: its array first, then each string, then the array's contents.
#[inline(always)]
fn pairs<'a, T>(cx: &mut LowerContext<'_, T>, count: usize, items: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Span> {
    if count == 0 {
        return Ok(NOTHING);
    }
    let list = cx.realloc(0, 0, 4, count * PAIR)?;
    let mut spans: SmallVec<[(Span, Span); 24]> = SmallVec::new();
    for (first, second) in items {
        spans.push((bytes(cx, first)?, bytes(cx, second)?));
    }
    for (place, (first, second)) in room(cx, list, count * PAIR)?.chunks_exact_mut(PAIR).zip(spans) {
        let (left, right) = place.split_at_mut(PAIR / 2);
        left.copy_from_slice(&packed(first));
        right.copy_from_slice(&packed(second));
    }
    Ok((list, count))
}

/// Pointer and length as they stand in a 32-bit memory.
#[inline(always)]
const fn packed((at, length): Span) -> [u8; 8] {
    ((at as u32 as u64) | ((length as u64) << 32)).to_le_bytes()
}

#[inline(always)]
fn room<'c, T>(cx: &'c mut LowerContext<'_, T>, at: usize, length: usize) -> Result<&'c mut [u8]> {
    let memory = cx.as_slice_mut().get_mut(at..).and_then(|memory| memory.get_mut(..length));
    memory.ok_or_else(|| BadOutput::new("the allocator returned a pointer out of bounds").into())
}

/// Strings are copied as they are, so a guest must want UTF-8. Every toolchain's does.
#[inline(always)]
pub(super) fn check_encoding<T>(cx: &LowerContext<'_, T>) -> Result<()> {
    match cx.options().string_encoding {
        StringEncoding::Utf8 => Ok(()),
        _ => Err(BadOutput::new("a plugin must use UTF-8 strings").into()),
    }
}
