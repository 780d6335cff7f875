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

/// Holds the arguments and the result of a call that asks for a few fields. Small, so that all that such a call writes, the heap behind
/// it included, is on a page or two: the proxy must restore each page that a fresh guest has written.
const INLINE: usize = 2 << 10;

/// What the heap is asked for at once when that is not enough. The proxy's budget for all header fields is 32 KiB.
const CHUNK: usize = 16 << 10;

/// Strictest alignment of the contract's types (`u64`), and of every chunk.
const ALIGN: usize = 8;

#[repr(align(8))]
struct Block(#[allow(dead_code, reason = "reached by address")] [MaybeUninit<u8>; INLINE]);

type Chunk = Vec<MaybeUninit<u64>>;

/// A bump allocator with a block of its own and the heap for what does not fit.
///
/// All zeros when it is empty, so that a static of these is no part of the file; in this order, so that what is written lies together.
#[repr(C)]
pub struct Arena {
    /// How much of the block is taken.
    top: Cell<usize>,
    /// The free rest of the last chunk.
    next: Cell<*mut u8>,
    left: Cell<usize>,
    /// From the ordinary allocator; each lives until the next `clear` at least.
    #[allow(clippy::box_collection, reason = "see above: an empty `Vec` is not zeros")]
    chunks: UnsafeCell<Option<Box<Vec<Chunk>>>>,
    block: UnsafeCell<Block>,
}

impl core::fmt::Debug for Arena {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Arena").field("top", &self.top.get()).finish_non_exhaustive()
    }
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self {
            top: Cell::new(0),
            next: Cell::new(ptr::null_mut()),
            left: Cell::new(0),
            chunks: UnsafeCell::new(None),
            block: UnsafeCell::new(Block([MaybeUninit::uninit(); INLINE])),
        }
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
            self.spill(align, len)
        }
    }

    #[cold]
    fn spill(&self, align: usize, len: usize) -> *mut u8 {
        let skip = self.next.get().addr().wrapping_neg() & (align - 1);
        if len.checked_add(skip).is_none_or(|wanted| wanted > self.left.get()) {
            self.grow(len);
            return self.take(len);
        }
        self.take(skip);
        self.take(len)
    }

    /// A chunk of which `len` bytes can be taken.
    fn grow(&self, len: usize) {
        let mut chunk = Chunk::with_capacity(len.max(CHUNK).div_ceil(ALIGN));
        self.next.set(chunk.as_mut_ptr().cast());
        self.left.set(chunk.capacity() * ALIGN);
        // SAFETY: no other borrow of the list exists: it is touched here and in `clear` only, and neither calls out while it
        // holds the borrow (the allocator does not come back here).
        unsafe { (*self.chunks.get()).get_or_insert_default().push(chunk) };
    }

    /// The next `len` bytes of the chunk in use, which has as many left.
    fn take(&self, len: usize) -> *mut u8 {
        let start = self.next.get();
        self.next.set(start.wrapping_add(len));
        self.left.set(self.left.get() - len);
        start
    }

    /// Forgets everything.
    ///
    /// # Safety
    /// Nothing that was allocated here may be used afterwards. (`&mut self` would say so, but the one arena of a guest is a static.)
    #[inline]
    pub(super) unsafe fn clear(&self) {
        self.top.set(0);
        // SAFETY: as in `grow`; the caller promises that no one looks at the chunks any more.
        if let Some(chunks) = unsafe { &mut *self.chunks.get() } {
            self.keep_one(chunks);
        }
    }

    /// The first chunk stays, so that a guest whose calls are large does not ask for it each time; one of unusual size does not.
    #[cold]
    fn keep_one(&self, chunks: &mut Vec<Chunk>) {
        chunks.retain(|chunk| chunk.capacity() < 2 * CHUNK / ALIGN);
        chunks.truncate(1);
        let (next, left) = match chunks.first_mut() {
            Some(chunk) => (chunk.as_mut_ptr().cast(), chunk.capacity() * ALIGN),
            None => (ptr::null_mut(), 0),
        };
        self.next.set(next);
        self.left.set(left);
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
        let large = alloc::vec![7_u8; CHUNK + 1];
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
    fn chunks_are_aligned_whatever_was_taken_before() {
        let arena = Arena::new();
        arena.alloc(1, INLINE);
        for odd in [1, 3, 7] {
            arena.alloc(1, odd);
            assert!(arena.alloc(8, 24).cast::<u64>().is_aligned());
        }
    }

    #[test]
    fn clearing_starts_over() {
        let arena = Arena::new();
        let both = || (arena.alloc(8, 24), arena.alloc(1, INLINE));
        let first = both();
        for large in [10_000, 100_000] {
            arena.alloc(8, large);
            // SAFETY: what was allocated is only compared.
            unsafe { arena.clear() };
            assert_eq!(both(), first, "the block and the first chunk are used again");
        }
        arena.alloc(8, 1_000_000);
        // SAFETY: as above.
        unsafe { arena.clear() };
        // SAFETY: nothing else borrows the list.
        assert_eq!(unsafe { &*arena.chunks.get() }.as_ref().map(|chunks| chunks.len()), Some(1));
    }
}
