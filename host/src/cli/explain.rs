//! `portcullis explain METHOD URL`

use super::exit;
use crate::app;
use std::path::PathBuf;
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
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "portcullis.toml")]
    config: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn execute(self) -> ExitCode {
        let question = app::Question { method: self.method, url: self.url, headers: self.headers };
        match app::explain(&self.config, question) {
            Ok(explained) => {
                if self.json {
                    super::say(&format!("{:#}", explained.json()), "\n");
                } else {
                    super::say(&explained.text(), "");
                }
                exit(explained.found())
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
