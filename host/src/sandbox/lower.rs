//! Heads into guest memory: straight from the host's types, only what the guest asked for.
//!
//! Everything is allocated in the guest by its `realloc`, or has its place (`passing`), then copied. A guest chose the pointer: bounds are
//! checked at each write.

use super::inputs::{Pair, RequestInputs, ResponseInputs, Shown};
use super::lift::BadOutput;
use super::passing::Passing;
use wasmtime::{Result, ValRaw};

/// Pointer and length. An empty string or list may point anywhere that is aligned and within bounds.
type Span = (usize, usize);
const NOTHING: Span = (4, 0);

/// Bytes of a record of two strings or lists: `header`, `attribute`.
const PAIR: usize = 16;
/// Alignment of a list of them.
const LIST_ALIGN: usize = 4;

/// A guest's memory and its allocator.
pub(super) trait Space {
    fn realloc(&mut self, align: usize, length: usize) -> Result<usize>;
    fn memory(&mut self) -> &mut [u8];
}

/// The flat arguments of `on-request` behind the exchange's number, filled into `space`.
#[inline(always)]
pub(super) fn request(space: &mut impl Space, inputs: &RequestInputs<'_>, passing: &Passing) -> Result<[ValRaw; 15]> {
    let texts = inputs.texts.iter().map(|text| text.len()).sum::<usize>() + inputs.query.unwrap_or_default().len();
    match block(space, texts + inputs.shown.size(), passing)? {
        Some(mut block) => fill_request(&mut block, inputs),
        None => fill_request(&mut Pieces(space), inputs),
    }
}

/// The same of `on-response`.
#[inline(always)]
pub(super) fn response(space: &mut impl Space, inputs: &ResponseInputs<'_>, passing: &Passing) -> Result<[ValRaw; 5]> {
    match block(space, inputs.shown.size(), passing)? {
        Some(mut block) => fill_response(&mut block, inputs),
        None => fill_response(&mut Pieces(space), inputs),
    }
}

/// One string, for a call of nothing else.
pub(super) fn text(space: &mut impl Space, text: &str) -> Result<(ValRaw, ValRaw)> {
    Pieces(space).bytes(text.as_bytes()).map(words)
}

/// Room for all arguments at once, if the guest takes them so.
#[inline(always)]
fn block<'m>(space: &'m mut impl Space, size: usize, passing: &Passing) -> Result<Option<Block<'m>>> {
    if size == 0 || !passing.one_block() {
        return Ok(None);
    }
    let next = match passing.place(size) {
        Some(place) => place,
        None => space.realloc(LIST_ALIGN, size).inspect(|at| passing.learn(size, *at))?,
    };
    Ok(Some(Block { memory: space.memory(), next, end: next.saturating_add(size) }))
}

#[inline(always)]
fn fill_request(room: &mut impl Room, inputs: &RequestInputs<'_>) -> Result<[ValRaw; 15]> {
    let RequestInputs { texts: [method, scheme, authority, path], query, shown, .. } = inputs;
    let method = words(room.bytes(method.as_bytes())?);
    let scheme = words(room.bytes(scheme.as_bytes())?);
    let authority = words(room.bytes(authority.as_bytes())?);
    let path = words(room.bytes(path.as_bytes())?);
    let text = words(query.map_or(Ok((0, 0)), |query| room.bytes(query.as_bytes()))?);
    let (headers, attributes) = room.shown(shown)?;
    Ok([
        method.0,
        method.1,
        scheme.0,
        scheme.1,
        authority.0,
        authority.1,
        path.0,
        path.1,
        ValRaw::u32(query.is_some().into()),
        text.0,
        text.1,
        headers.0,
        headers.1,
        attributes.0,
        attributes.1,
    ])
}

#[inline(always)]
fn fill_response(room: &mut impl Room, inputs: &ResponseInputs<'_>) -> Result<[ValRaw; 5]> {
    let (headers, attributes) = room.shown(&inputs.shown)?;
    Ok([ValRaw::u32(inputs.status.into()), headers.0, headers.1, attributes.0, attributes.1])
}

/// wasmtime passes pointers and lengths as 64 bits and ignores the upper half for a 32-bit memory.
#[inline(always)]
fn words((at, length): Span) -> (ValRaw, ValRaw) {
    (ValRaw::i64(at as i64), ValRaw::i64(length as i64))
}

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
/// By the canonical ABI each string and list is an allocation of its own, which the guest may free by itself ([`Pieces`]). A guest that says it
/// never does (`passing`) gets them all in one [`Block`], which spares it a call for each, or even all calls.
trait Room {
    /// Where `length` bytes can go.
    fn take(&mut self, align: usize, length: usize) -> Result<usize>;
    fn memory(&mut self) -> &mut [u8];

    #[inline(always)]
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let place = self.memory().get_mut(at..).and_then(|memory| memory.get_mut(..bytes.len()));
        place.ok_or_else(|| BadOutput::new("the allocator returned a pointer out of bounds"))?.copy_from_slice(bytes);
        Ok(())
    }

    /// One string or byte list; nothing at all for an empty one.
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) -> Result<Span> {
        if bytes.is_empty() {
            return Ok(NOTHING);
        }
        let at = self.take(1, bytes.len())?;
        self.write(at, bytes)?;
        Ok((at, bytes.len()))
    }

    /// `list<header>` and `list<attribute>`.
    #[inline(always)]
    fn shown(&mut self, shown: &Shown<'_>) -> Result<((ValRaw, ValRaw), (ValRaw, ValRaw))> {
        let attributes = shown.attributes.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Ok((words(self.pairs(shown.headers.iter().copied())?), words(self.pairs(attributes)?)))
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

struct Block<'m> {
    memory: &'m mut [u8],
    /// What is left of it.
    next: usize,
    end: usize,
}

impl Room for Block<'_> {
    /// As much as was asked for is used; the bounds of memory are checked by `write`.
    #[inline(always)]
    fn take(&mut self, align: usize, length: usize) -> Result<usize> {
        let at = self.next.next_multiple_of(align);
        self.next = at.saturating_add(length);
        if self.next > self.end { Err(wasmtime::Error::msg("a block of arguments is too small")) } else { Ok(at) }
    }

    #[inline(always)]
    fn memory(&mut self) -> &mut [u8] {
        self.memory
    }
}

struct Pieces<'s, S>(&'s mut S);

impl<S: Space> Room for Pieces<'_, S> {
    #[inline(always)]
    fn take(&mut self, align: usize, length: usize) -> Result<usize> {
        self.0.realloc(align, length)
    }

    #[inline(always)]
    fn memory(&mut self) -> &mut [u8] {
        self.0.memory()
    }
}

/// Pointer and length as they stand in a 32-bit memory.
#[inline(always)]
const fn packed((at, length): Span) -> u64 {
    (at as u32 as u64) | ((length as u64) << 32)
}
