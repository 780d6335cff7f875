//! The filter that the goals of issue 2 are about: in each phase it reads one header and adds one. For `cargo bench --bench chain`.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::prelude::*;

/// Marks requests and responses whose sender says who it is.
#[settings]
struct Mark {
    /// The header to add.
    header: String,
}

#[plugin]
impl Mark {
    #[interest(headers = ["user-agent"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        if request.header("user-agent").is_some() {
            edit.append_header(&self.header, "seen-by-filter-1");
        }
    }

    #[interest(headers = ["server"])]
    fn on_response(&self, response: &Response, edit: &mut Edits) {
        if response.header("server").is_some() {
            edit.append_header(&self.header, "seen-by-filter-1");
        }
    }
}
