//! Uses what it was granted, over and over within one call, so that what one use costs can be told from what the call costs. For
//! `cargo bench --bench platform`.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::prelude::*;
use portcullis_sdk::{http, kv};

/// What to do on each request.
#[settings]
struct Keep {
    /// get, add, set or send.
    what: String,
    /// How often.
    times: u32,
}

#[plugin]
impl Keep {
    fn on_request(&self, _: &Request, _: &mut RequestEdits) {
        let store = kv::Store::named("bench");
        for _ in 0..self.times {
            match self.what.as_str() {
                "get" => drop(store.get("client:192.0.2.17")),
                "add" => drop(store.add("count:192.0.2.17", 1, None)),
                "set" => drop(store.set("client:192.0.2.17", "seen", None)),
                _ => drop(http::Request::get("slow", "/").send()),
            }
        }
    }
}
