//! Heads into guest memory: straight from the host's types, only what the guest asked for.
//!
//! Everything is allocated in the guest by its `realloc`, or has its place (`passing`), then copied. A guest chose the pointer: bounds are
//! checked at each write.

use super::inputs::{Pair, Shown};
use super::lift::BadOutput;
use super::passing::Passing;
use std::ops::Range;
use wasmtime::Result;
use wasmtime::component::__internal::LowerContext;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;

/// Pointer and length. An empty string or list may point anywhere that is aligned and within bounds.
pub(super) type Span = (usize, usize);
pub(super) const NOTHING: Span = (4, 0);

/// Bytes of a record of two strings or lists: `header`, `attribute`.
const PAIR: usize = 16;
/// Alignment of a list of them.
const LIST_ALIGN: usize = 4;

impl Shown<'_> {
    /// Bytes of guest memory, alignment included.
    #[inline(always)]
    fn size(&self) -> usize {
        let list = |count: usize, bytes: usize| if count == 0 { 0 } else { LIST_ALIGN - 1 + count * PAIR + bytes };
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        list(self.headers.len(), headers) + list(self.attributes.len(), attributes)
    }
}

/// Guest memory for what one call is passed.
///
/// By the canonical ABI each string and list is an allocation of its own, which the guest may free by itself. A guest that says it
/// never does (`passing`) gets them all in one block, which spares it a call for each, or even all calls.
pub(super) struct Room<'c, 'x, T: 'static> {
    cx: &'c mut LowerContext<'x, T>,
    /// What is left of the block.
    block: Option<Range<usize>>,
}

impl<'c, 'x, T> Room<'c, 'x, T> {
    /// For `texts` and what is `shown`.
    #[inline(always)]
    pub(super) fn new(cx: &'c mut LowerContext<'x, T>, passing: &Passing, texts: &[&str], shown: &Shown<'_>) -> Result<Self> {
        check_encoding(cx)?;
        let size = if passing.one_block() { texts.iter().map(|text| text.len()).sum::<usize>() + shown.size() } else { 0 };
        if size == 0 {
            return Ok(Self { cx, block: None });
        }
        let at = match passing.place(size) {
            Some(place) => place,
            None => cx.realloc(0, 0, LIST_ALIGN as u32, size).inspect(|at| passing.learn(size, *at))?,
        };
        Ok(Self { cx, block: Some(at..at.saturating_add(size)) })
    }

    /// Where `length` bytes can go. Of the block as much as `new` has asked for is used; the bounds of memory are checked by `write`.
    #[inline(always)]
    fn take(&mut self, align: usize, length: usize) -> Result<usize> {
        let Some(block) = &mut self.block else { return self.cx.realloc(0, 0, align as u32, length) };
        let at = block.start.next_multiple_of(align);
        block.start = at.saturating_add(length);
        if block.start > block.end { Err(wasmtime::Error::msg("a block of arguments is too small")) } else { Ok(at) }
    }

    #[inline(always)]
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let place = self.cx.as_slice_mut().get_mut(at..).and_then(|memory| memory.get_mut(..bytes.len()));
        place.ok_or_else(|| BadOutput::new("the allocator returned a pointer out of bounds"))?.copy_from_slice(bytes);
        Ok(())
    }

    /// One string or byte list; nothing at all for an empty one.
    #[inline(always)]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<Span> {
        if bytes.is_empty() {
            return Ok(NOTHING);
        }
        let at = self.take(1, bytes.len())?;
        self.write(at, bytes)?;
        Ok((at, bytes.len()))
    }

    /// `list<header>` and `list<attribute>`.
    #[inline(always)]
    pub(super) fn shown(&mut self, shown: &Shown<'_>) -> Result<(Span, Span)> {
        let attributes = shown.attributes.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Ok((self.pairs(shown.headers.iter().copied())?, self.pairs(attributes)?))
    }

    /// A list of records of two strings: its array first, then each string.
    #[inline(always)]
    fn pairs<'a>(&mut self, pairs: impl ExactSizeIterator<Item = Pair<'a>>) -> Result<Span> {
        let count = pairs.len();
        if count == 0 {
            return Ok(NOTHING);
        }
        let list = self.take(LIST_ALIGN, count * PAIR)?;
        for (index, (first, second)) in pairs.enumerate() {
            let (first, second) = (packed(self.bytes(first)?), packed(self.bytes(second)?));
            let record = u128::from(first) | u128::from(second) << 64;
            self.write(list + index * PAIR, &record.to_le_bytes())?;
        }
        Ok((list, count))
    }
}

/// Pointer and length as they stand in a 32-bit memory.
#[inline(always)]
const fn packed((at, length): Span) -> u64 {
    (at as u32 as u64) | ((length as u64) << 32)
}

/// Strings are copied as they are, so a guest must want UTF-8. Every toolchain's does.
#[inline(always)]
fn check_encoding<T>(cx: &LowerContext<'_, T>) -> Result<()> {
    match cx.options().string_encoding {
        StringEncoding::Utf8 => Ok(()),
        _ => Err(BadOutput::new("a plugin must use UTF-8 strings").into()),
    }
}
