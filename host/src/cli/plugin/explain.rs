//! `portcullis plugin explain METHOD URL [FILE]`

use super::{answer, failed, misused};
use crate::app;
use crate::cli::ConfigFile;
use crate::config::cases::{MadeBody, MadeResponse};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::net::IpAddr;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Explain {
    /// The request's method
    method: http::Method,
    /// An absolute URL, such as https://app.example.com/api/x?y=z
    url: http::Uri,
    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's body
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    client: IpAddr,
    /// The status of the made-up response
    #[arg(long, value_name = "STATUS", default_value = "200")]
    status: StatusCode,
    /// A header field of the made-up response; may be repeated
    #[arg(long = "response-header", value_name = "NAME: VALUE")]
    response_headers: Vec<String>,
    /// The body of the made-up response
    #[arg(long, value_name = "TEXT")]
    response_data: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        let Some(headers) = fields(&self.response_headers) else { return misused(&"--response-header is written as `Name: value`") };
        let question = app::Question { method: self.method, url: self.url, headers: self.headers };
        let body = |text: String| MadeBody { pieces: vec![text], stated: true, trailers: HeaderMap::new() };
        let response = MadeResponse { status: self.status, headers, body: self.response_data.map(body) };
        match app::plugin_explain(self.file.path(), question, self.client, (self.data.map(body), response)) {
            Ok(rehearsed) => answer(self.json, || rehearsed.json(), || rehearsed.text(), rehearsed.well()),
            Err(error) => failed(&error),
        }
    }
}

fn fields(lines: &[String]) -> Option<HeaderMap> {
    let field = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
    };
    lines.iter().map(field).collect()
}
