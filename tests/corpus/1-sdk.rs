#![cfg_attr(target_family = "wasm", no_std)]
//! Everything that the contract had at this commit, asked for and used.
use portcullis_sdk::prelude::*;

/// Everything.
#[settings]
struct Kept {
    /// What `x-do` is answered with.
    reply: String,
}

#[plugin]
impl Kept {
    #[interest(method, scheme, authority, path, query, exchange, headers = ["x-do"], attributes = ["client.ip"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Verdict {
        match request.header_str("x-do") {
            Some("reply") => Verdict::Reply(Reply::new(418).header("x-reply", "yes").text(self.reply.clone()).into()),
            Some("forward") => Verdict::Forward("app".into()),
            Some("abort") => Verdict::Abort,
            _ => {
                edit.set_header("x-kept", "request");
                edit.append_header("x-kept", request.attribute("client.ip").unwrap_or("nobody"));
                edit.remove_header("x-gone");
                edit.set_method("POST");
                edit.set_authority("other.test");
                edit.set_path("/kept");
                edit.set_query("a=1");
                edit.set_attribute("kept", request.query().unwrap_or("none"));
                Verdict::Next
            }
        }
    }

    #[interest(exchange, headers = ["server"], attributes = ["upstream"])]
    fn on_response(&self, response: &Response, edit: &mut Edits) {
        edit.set_header("x-kept", response.header_str("server").unwrap_or("none"));
    }
}
