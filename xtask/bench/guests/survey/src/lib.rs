//! The heavy filter: reads every request header, tells the upstream their length, and rewrites `/api/v1/` to `/v1/`.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::prelude::*;

/// Sums up header fields and shortens the path.
#[settings]
struct Survey {}

#[plugin]
impl Survey {
    #[interest(path, all_headers)]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        let sum: usize = request.headers().map(|(name, value)| name.len() + value.len()).sum();
        if let Some(rest) = request.path().strip_prefix("/api/v1/") {
            edit.set_path(format!("/v1/{rest}"));
        }
        edit.set_header("x-sum", sum.to_string());
    }
}
