//! The light filter that benchmarks measure: reads `user-agent`, appends one header, on both phases. Without std, as small as plain
//! wit-bindgen allows.

#![no_std]
extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::portcullis::plugin::{lifecycle, on_request, on_response};
use portcullis::plugin::types::*;

struct Guest;

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"light","version":"1.0.0"}"#.to_string()
    }

    fn configure(_settings: String) -> Result<Plan, Vec<Problem>> {
        let headers = || vec!["user-agent".to_string()];
        let request =
            RequestInterest { fields: RequestFields::empty(), headers: headers(), all_headers: false, attributes: vec![] };
        let response =
            ResponseInterest { exchange: false, headers: vec!["server".to_string()], all_headers: false, attributes: vec![] };
        Ok(Plan { request: Some(request), response: Some(response), warnings: vec![] })
    }
}

impl on_request::Guest for Guest {
    fn on_request(_exchange: u64, head: RequestHead) -> Decision {
        append_if_seen(&head.headers, "user-agent")
    }
}

impl on_response::Guest for Guest {
    fn on_response(_exchange: u64, head: ResponseHead) -> Decision {
        append_if_seen(&head.headers, "server")
    }
}

fn append_if_seen(headers: &[Header], name: &str) -> Decision {
    let mut edits = Vec::new();
    if headers.iter().any(|header| header.name == name) {
        edits.push(Edit::AppendHeader(Header { name: "x-filter-tag".to_string(), value: b"seen-by-filter-1".to_vec() }));
    }
    Decision { verdict: Verdict::Next, edits }
}

export!(Guest);

mod rt {
    use core::alloc::{GlobalAlloc, Layout};
    use core::arch::wasm32;

    /// Bumps; begins anew whenever nothing is live, which is sound whatever the plugin keeps.
    struct Bump;
    static mut TOP: usize = 0;
    static mut END: usize = 0;
    static mut LIVE: usize = 0;

    unsafe extern "C" {
        static __heap_base: u8;
    }

    #[cold]
    unsafe fn grow(need: usize) {
        let pages = need.div_ceil(65536);
        if wasm32::memory_grow::<0>(pages) == usize::MAX {
            wasm32::unreachable()
        }
        unsafe { END += pages * 65536 }
    }

    unsafe impl GlobalAlloc for Bump {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe {
                if END == 0 {
                    TOP = &raw const __heap_base as usize;
                    END = wasm32::memory_size::<0>() * 65536;
                }
                let at = (TOP + layout.align() - 1) & !(layout.align() - 1);
                if at + layout.size() > END {
                    grow(at + layout.size() - END);
                }
                TOP = at + layout.size();
                LIVE += 1;
                at as *mut u8
            }
        }

        unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
            unsafe {
                LIVE -= 1;
                if LIVE == 0 {
                    TOP = &raw const __heap_base as usize
                } else if p as usize + layout.size() == TOP {
                    TOP = p as usize
                }
            }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Bump = Bump;

    #[link(name = "c")]
    unsafe extern "C" {}

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        wasm32::unreachable()
    }

    // wit-bindgen's comes from std's libc on wasip2; a no_std build brings its own.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cabi_realloc(_old: *mut u8, _size: usize, align: usize, size: usize) -> *mut u8 {
        if size == 0 {
            return align as *mut u8;
        }
        unsafe { alloc::alloc::alloc(Layout::from_size_align_unchecked(size, align)) }
    }
}
