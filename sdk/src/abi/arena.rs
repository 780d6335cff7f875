//! Memory for one call.
//!
//! The proxy's arguments are lowered into it and the result is written into it; it is reachable only through borrows that end
//! with the call. It is *not* the global allocator: nothing of the plugin's own lives here, so that emptying it between
//! calls cannot pull anything from under the plugin's feet.

use super::raw::{Field, Slice, Str};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr;

/// Holds the arguments of any ordinary call (the proxy's budget for all header fields is 32 KiB, of which a plugin asks for a few).
const INLINE: usize = 16 << 10;

/// Strictest alignment of the contract's types (`u64`), and of every address handed out by `spill`.
const ALIGN: usize = 8;

#[repr(align(8))]
struct Block(#[allow(dead_code, reason = "reached by address")] [MaybeUninit<u8>; INLINE]);

#[allow(clippy::box_collection, reason = "see the field")]
type Spilled = Box<Vec<Vec<MaybeUninit<u64>>>>;

/// A bump allocator with a block of its own and the heap for what does not fit.
pub struct Arena {
    block: UnsafeCell<Block>,
    top: Cell<usize>,
    /// Whole blocks from the ordinary allocator; each lives until the next `clear`.
    /// Boxed, so that an empty arena is all zeros: a static of these is no part of the file.
    spilled: UnsafeCell<Option<Spilled>>,
}

impl core::fmt::Debug for Arena {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena").field("top", &self.top.get()).finish_non_exhaustive()
    }
}

impl Arena {
    pub(crate) const fn new() -> Self {
        let block = UnsafeCell::new(Block([MaybeUninit::uninit(); INLINE]));
        Self { block, top: Cell::new(0), spilled: UnsafeCell::new(None) }
    }

    /// `len` fresh bytes, aligned to `align` (a power of two, at most 8), that nothing else points to until `clear`.
    #[inline]
    pub(super) fn alloc(&self, align: usize, len: usize) -> *mut u8 {
        let at = (self.top.get() + align - 1) & !(align - 1);
        if len <= INLINE && at <= INLINE - len {
            self.top.set(at + len);
            // SAFETY: `at + len` is within the block. The block is only ever reached through addresses made here, which do not overlap.
            unsafe { self.block.get().cast::<u8>().add(at) }
        } else {
            self.spill(len)
        }
    }

    #[cold]
    fn spill(&self, len: usize) -> *mut u8 {
        let mut block = Vec::with_capacity(len.div_ceil(ALIGN));
        let start = block.as_mut_ptr();
        // SAFETY: no other borrow of the list exists: it is touched here and in `clear` only, and neither calls out while it
        // holds the borrow (the allocator does not come back here).
        unsafe { (*self.spilled.get()).get_or_insert_default().push(block) };
        start.cast()
    }

    /// Forgets everything.
    ///
    /// # Safety
    /// Nothing that was allocated here may be used afterwards. (`&mut self` would say so, but the one arena of a guest is a static.)
    #[inline]
    pub(super) unsafe fn clear(&self) {
        self.top.set(0);
        // SAFETY: as in `spill`; the caller promises that no one looks at the blocks any more.
        let spilled = unsafe { &mut *self.spilled.get() };
        if spilled.is_some() {
            *spilled = None;
        }
    }

    /// A copy of these bytes.
    #[inline]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Str<'_> {
        let to = self.alloc(1, bytes.len());
        // SAFETY: `to` has room for `bytes.len()` bytes that nothing else points to; they stay until `clear`.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            Str::new(to, bytes.len())
        }
    }

    #[inline]
    pub(crate) fn text(&self, text: &str) -> Str<'_> {
        self.bytes(text.as_bytes())
    }

    #[inline]
    pub(crate) fn field(&self, name: &str, value: &[u8]) -> Field<'_> {
        Field { name: self.text(name), value: self.bytes(value) }
    }

    /// Moves a value in and says where it is. It is never dropped, so it must not need to be.
    pub(crate) fn put<T: Copy>(&self, value: T) -> &T {
        const { assert!(align_of::<T>() <= ALIGN) };
        let to = self.alloc(align_of::<T>(), size_of::<T>()).cast::<T>();
        // SAFETY: `to` is aligned, has room for a `T` and belongs to no one else until `clear`.
        unsafe {
            to.write(value);
            &*to
        }
    }
}

/// A growing list in an arena.
#[derive(Debug)]
pub struct List<'c, T> {
    start: *mut T,
    len: usize,
    room: usize,
    arena: PhantomData<&'c mut [T]>,
}

impl<'c, T: Copy> List<'c, T> {
    /// Four is more than most plugins ever write.
    const FIRST: usize = 4;

    pub(crate) const fn new() -> Self {
        Self { start: ptr::null_mut(), len: 0, room: 0, arena: PhantomData }
    }

    #[inline]
    pub(crate) fn push(&mut self, arena: &'c Arena, item: T) {
        if self.len == self.room {
            self.grow(arena);
        }
        // SAFETY: `grow` has seen to it that there is room at `len`, in memory of ours alone.
        unsafe { self.start.add(self.len).write(item) };
        self.len += 1;
    }

    fn grow(&mut self, arena: &'c Arena) {
        const { assert!(align_of::<T>() <= ALIGN) };
        let room = if self.room == 0 { Self::FIRST } else { self.room * 2 };
        let start = arena.alloc(align_of::<T>(), room * size_of::<T>()).cast::<T>();
        if self.len > 0 {
            // SAFETY: the first `len` items are written; `start` is fresh memory with more room than that.
            unsafe { ptr::copy_nonoverlapping(self.start, start, self.len) };
        }
        (self.start, self.room) = (start, room);
    }

    /// The list as the contract passes it.
    pub(crate) fn finish(self) -> Slice<'c, T> {
        if self.len == 0 {
            return Slice::EMPTY;
        }
        // SAFETY: `len` items are written at `start` and stay there until the arena is cleared.
        unsafe { Slice::new(self.start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_spills_and_nothing_overlaps() {
        let arena = Arena::new();
        let large = alloc::vec![7_u8; INLINE + 1];
        let kept: Vec<_> = (0..40_u8).map(|n| arena.bytes(&[n; 1000])).collect();
        let spilled = arena.bytes(&large);
        for (n, text) in kept.iter().enumerate() {
            assert!(text.bytes().iter().all(|&byte| usize::from(byte) == n), "block {n} was overwritten");
        }
        assert_eq!(spilled.bytes(), large);
    }

    #[test]
    fn a_list_keeps_its_items_while_it_grows() {
        let arena = Arena::new();
        let mut list = List::new();
        for n in 0..300_u32 {
            list.push(&arena, n);
            arena.bytes(b"between");
        }
        assert!(list.finish().items().iter().copied().eq(0..300));
    }

    #[test]
    fn clearing_starts_over() {
        let arena = Arena::new();
        let first = arena.alloc(8, 24);
        arena.spill(100_000);
        // SAFETY: `first` is only compared.
        unsafe { arena.clear() };
        assert_eq!(arena.alloc(8, 24), first);
    }
}
