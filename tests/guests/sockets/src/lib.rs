//! Calls what no plugin is granted: opens a TCP connection. The proxy must refuse the file before anything in it runs.

wit_bindgen::generate!({ path: "../../../wit", world: "request-plugin" });

use exports::portcullis::plugin::{lifecycle, on_request};
use portcullis::plugin::types::*;

struct Guest;

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"sockets","version":"1.0.0"}"#.into()
    }

    fn configure(_settings: String) -> Result<Plan, Vec<Problem>> {
        Ok(Plan { request: None, response: None, warnings: vec![] })
    }
}

impl on_request::Guest for Guest {
    fn on_request(_exchange: u64, _head: RequestHead) -> Decision {
        let verdict = if std::net::TcpStream::connect("192.0.2.1:80").is_ok() { Verdict::Abort } else { Verdict::Next };
        Decision { verdict, edits: vec![] }
    }
}

export!(Guest);
