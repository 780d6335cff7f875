//! What std would bring, for plugins without it: an allocator and what happens on a panic. Feature `bare`.
//!
//! A panic traps without a message: the text and what formats it would be half of such a plugin, and printing it would import
//! WASI's stderr. Tests on the native target show it.

use core::alloc::{GlobalAlloc, Layout};

unsafe extern "C" {
    // From wasi-libc, which rustc links on this target: dlmalloc over `memory.grow`, no import.
    fn malloc(len: usize) -> *mut u8;
    fn realloc(old: *mut u8, len: usize) -> *mut u8;
    fn free(old: *mut u8);
    fn aligned_alloc(align: usize, len: usize) -> *mut u8;
}

#[link(name = "c")]
unsafe extern "C" {}

/// What `malloc` aligns to on this target.
const ALIGN: usize = 16;

struct Libc;

// SAFETY: `malloc` and its kin keep the contract of `GlobalAlloc`; stricter alignment goes to `aligned_alloc`, whose blocks `free` takes too.
unsafe impl GlobalAlloc for Libc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: plain calls; `aligned_alloc` wants a multiple of the alignment.
        unsafe {
            if layout.align() <= ALIGN {
                malloc(layout.size())
            } else {
                aligned_alloc(layout.align(), layout.size().next_multiple_of(layout.align()))
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, old: *mut u8, _: Layout) {
        // SAFETY: `old` came from above.
        unsafe { free(old) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // SAFETY: `old` came from above; `realloc` keeps `malloc`'s alignment, so stricter ones are moved by hand.
        unsafe {
            if layout.align() <= ALIGN {
                return realloc(old, len);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(len, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(old, new, layout.size().min(len));
                free(old);
            }
            new
        }
    }
}

#[global_allocator]
static ALLOCATOR: Libc = Libc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
