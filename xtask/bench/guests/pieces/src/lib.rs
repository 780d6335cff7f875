//! The light filter of bodies: looks at every piece, and keeps it or gives it back changed.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::body::Output;
use portcullis_sdk::prelude::*;

/// Looks at every piece of a body.
#[settings]
struct Pieces {
    /// `watch`, `keep` or `give`.
    how: String,
}

#[plugin]
impl Pieces {
    fn on_response_body(&self, _: &ResponseBegin, _: &mut Edits) -> ResponseBody {
        match &*self.how {
            "watch" => ResponseBody::watch(|_: &[u8]| ()),
            "keep" => ResponseBody::transform(|_: &[u8], out: &mut Output| out.keep_all()),
            // All that a filter must do that changes every byte: one copy, in which it changes them.
            _ => ResponseBody::transform(|piece: &[u8], out: &mut Output| {
                out.with_buffer(|buffer| buffer.extend(piece.iter().map(|byte| byte ^ 0x20)));
            }),
        }
    }
}
