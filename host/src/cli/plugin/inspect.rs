//! `portcullis plugin inspect FILE`

use super::answer;
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Inspect {
    /// A component (`.wasm`), or the name of a bundled plugin
    file: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn execute(self) -> ExitCode {
        match app::inspect(&self.file) {
            Ok(inspected) => answer(self.json, || inspected.json(), || inspected.text(), inspected.loadable()),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
