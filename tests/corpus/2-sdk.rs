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

    #[interest(peer, local, connection, attributes = ["listener"])]
    fn on_accept(&self, accepted: &Accepted, edit: &mut ConnectionEdits) -> AcceptVerdict {
        edit.set_attribute("kept", accepted.attribute("listener").unwrap_or("none"));
        if accepted.peer_ip().is_some_and(|ip| ip.is_loopback()) { AcceptVerdict::Close } else { AcceptVerdict::Next }
    }

    #[interest(sni, alpn, versions, ciphers, ja4, raw, connection, attributes = ["kept"])]
    fn on_client_hello(&self, hello: &ClientHello, edit: &mut ConnectionEdits) -> HelloVerdict {
        edit.set_attribute("kept.ja4", hello.ja4());
        match hello.sni() {
            Some("alert.test") => HelloVerdict::Alert(49),
            Some("pass.test") => HelloVerdict::PassThrough("app".into()),
            _ => HelloVerdict::Next,
        }
    }

    #[interest(peer, bytes, duration, reason, connection, attributes = ["kept"])]
    fn on_close(&self, closed: &Closed) {
        // More than was received cannot be: a trap here is a fault that the test would see.
        assert!(closed.received() < 1 << 40 && closed.reason().len() < 100);
    }
}
