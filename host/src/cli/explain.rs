//! `portcullis explain METHOD URL [FILE]` and `portcullis explain tcp ADDRESS [FILE]`

use super::{ConfigFile, exit};
use crate::app;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Explain {
    /// The request's method, or `tcp` for a connection
    #[arg(value_name = "METHOD|tcp")]
    method: http::Method,
    /// An absolute URL, such as https://app.example.com/api/x?y=z; after `tcp`, the address that the client connects to (or unix:/path)
    #[arg(value_name = "URL|ADDRESS")]
    target: String,
    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", conflicts_with_all = ["sni", "alpn"])]
    headers: Vec<String>,
    /// After `tcp`: the server name in the client hello
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// After `tcp`: a protocol that the client offers; may be repeated
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        if self.method.as_str().eq_ignore_ascii_case("tcp") { self.connection() } else { self.request() }
    }

    fn request(self) -> ExitCode {
        let url: http::Uri = match self.target.parse() {
            Ok(url) if self.sni.is_none() && self.alpn.is_empty() => url,
            Ok(_) => return misused("--sni and --alpn are for `explain tcp ADDRESS`"),
            Err(error) => return misused(&format!("`{}` is no URL: {error}", self.target)),
        };
        let question = app::Question { method: self.method, url, headers: self.headers };
        match app::explain(self.file.path(), question) {
            Ok(explained) => print(self.json, || explained.json(), || explained.text(), explained.found()),
            Err(error) => failed(&error),
        }
    }

    fn connection(self) -> ExitCode {
        if !self.headers.is_empty() {
            return misused("a TCP connection has no header fields");
        }
        let Some(address) = app::Reached::parse(&self.target) else {
            return misused(&format!("`{}` is no address, such as 10.0.0.1:5432, [::1]:5432, :5432 or unix:/run/db.sock", self.target));
        };
        let question = app::TcpQuestion { address, sni: self.sni, alpn: self.alpn };
        match app::explain_tcp(self.file.path(), question) {
            Ok(explained) => print(self.json, || explained.json(), || explained.text(), explained.found()),
            Err(error) => failed(&error),
        }
    }
}

fn print(as_json: bool, json: impl FnOnce() -> Value, text: impl FnOnce() -> String, found: bool) -> ExitCode {
    if as_json {
        super::say(&format!("{:#}", json()), "\n");
    } else {
        super::say(&text(), "");
    }
    exit(found)
}

fn failed(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// As clap says that arguments are wrong.
fn misused(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(2)
}
