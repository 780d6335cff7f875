//! Where a guest is in its calls, and the allocator that the proxy lowers arguments with.
//!
//! A guest is one thread and the component model forbids re-entering it, so statics here are never seen by two calls at once.

use crate::abi::arena::Arena;
use crate::abi::lower;
use crate::abi::raw::RawDecision;
use crate::edits::Edits;
use crate::verdict::Verdict;
use alloc::alloc::{Layout, alloc, realloc};
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
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

/// Bytes of a call's arguments that always lie at the same place. The custom section `portcullis:one-block` tells the proxy so.
const DESK: usize = 1024;

/// Where a call's first argument goes if it fits: the proxy may write there without asking, whenever no call runs.
#[repr(align(8))]
struct Desk(UnsafeCell<[MaybeUninit<u8>; DESK]>);

/// In this order: the arena's block is last, away from what is written in any case.
#[repr(C)]
pub(super) struct Calls {
    stage: Cell<Stage>,
    desk: Desk,
    arena: Arena,
}

// SAFETY: a guest has one thread.
unsafe impl Sync for Calls {}

/// All zeros, so that its block is no part of the file.
pub(super) static CALLS: Calls =
    Calls { stage: Cell::new(Stage::Running), desk: Desk(UnsafeCell::new([MaybeUninit::uninit(); DESK])), arena: Arena::new() };

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
    pub(super) fn enter<T: 'static>(&'static self, call: impl FnOnce(&'static Arena) -> &'static T) -> *const T {
        self.begin();
        self.stage.set(Stage::Running);
        let result: *const T = call(&self.arena);
        self.stage.set(Stage::Between);
        result
    }

    /// Writes the decision and keeps what it points into until the next one.
    #[inline]
    pub(super) fn decide(&'static self, verdict: Verdict, edits: Edits<'static>) -> &'static RawDecision<'static> {
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
    let first = CALLS.stage.get() == Stage::Between;
    CALLS.begin();
    CALLS.stage.set(Stage::Lowering);
    if first && len <= DESK {
        return CALLS.desk.0.get().cast();
    }
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
