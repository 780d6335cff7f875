#![cfg_attr(target_family = "wasm", no_std)]
//! What the contract got with bodies, and with `take` of stores: everything of it is used.
use core::time::Duration;
use portcullis_sdk::body::{Output, Trailers, Transform, Watch};
use portcullis_sdk::kv;
use portcullis_sdk::prelude::*;

/// Everything.
#[settings]
struct Kept {
    /// The store that `on_request` takes from.
    store: StoreName,
}

struct Counted(usize);

impl Watch for Counted {
    fn piece(&mut self, piece: &[u8]) {
        self.0 += piece.len();
    }

    fn end(&mut self, _: &Trailers) {
        // A trap here is a fault that the test would see.
        assert!(self.0 > 0);
    }
}

/// Every way to give something back.
struct Doubled(usize);

impl Transform for Doubled {
    fn piece(&mut self, piece: &[u8], out: &mut Output<'_>) {
        self.0 += 1;
        out.keep(0..piece.len());
        out.write(piece.to_vec());
    }

    fn end(&mut self, out: &mut Output<'_>, trailers: &mut Trailers) {
        out.write_slice(b"!");
        trailers.set_header("x-pieces", self.0.to_string());
        trailers.remove_header("x-gone");
    }
}

#[plugin]
impl Kept {
    #[interest(headers = ["x-do"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        request.header_str("x-do").filter(|what| *what == "take")?;
        match kv::Store::named(&self.store).take("k", 1, 1, Duration::from_secs(60)) {
            Ok(taken) if taken.admitted => {
                edit.set_header("x-kept", taken.left.to_string());
                None
            }
            Ok(_) => Some(Reply::new(429)),
            Err(_) => Some(Reply::new(503)),
        }
    }

    #[interest(method, path, headers = ["x-body"])]
    fn on_request_body(&self, request: &RequestBegin, edit: &mut RequestEdits) -> RequestBody {
        edit.set_header("x-length", request.body_length().unwrap_or(0).to_string());
        match request.header_str("x-body") {
            Some("watch") => RequestBody::watch(Counted(0)),
            Some("transform") => RequestBody::transform(Doubled(0)),
            Some("buffer") => RequestBody::buffer(1000, |whole, edit: &mut RequestEdits| {
                edit.set_header("x-whole", whole.bytes().len().to_string());
                if whole.bytes() == b"no" {
                    return Verdict::Reply(Reply::new(418).into());
                }
                whole.replace(b"kept".to_vec());
                Verdict::Next
            }),
            _ => RequestBody::Pass,
        }
    }

    #[interest(headers = ["x-body"])]
    fn on_response_body(&self, response: &ResponseBegin, edit: &mut Edits) -> ResponseBody {
        edit.set_header("x-status", response.status().to_string());
        match response.header_str("x-body") {
            Some("watch") => ResponseBody::watch(Counted(0)),
            Some("transform") => ResponseBody::transform(Doubled(0)),
            _ => ResponseBody::Pass,
        }
    }
}
