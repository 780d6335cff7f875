//! The light filter: reads one request header, rejects without it, adds one response header.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::prelude::*;

/// Lets requests with the right key through and marks their responses.
#[settings]
struct Tag {
    /// The response header to add.
    header: String,
}

#[plugin]
impl Tag {
    #[interest(headers = ["x-bench-key"])]
    fn on_request(&self, request: &Request, _edit: &mut RequestEdits) -> Option<Reply> {
        (request.header("x-bench-key") != Some(b"good")).then(|| Reply::new(403))
    }

    fn on_response(&self, _response: &Response, edit: &mut Edits) {
        edit.append_header(&self.header, "1");
    }
}
