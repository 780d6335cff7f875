//! `portcullis plugin inspect FILE`

use super::answer;
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Inspect {
    /// A component (`.wasm`), an artefact of a registry (oci://…), or the name of a bundled plugin
    file: PathBuf,
    /// One of these must have signed it: a minisign public key, or a file with one; may be repeated
    #[arg(long, value_name = "KEY")]
    signed_by: Vec<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn execute(self) -> ExitCode {
        let keys: Vec<_> = self.signed_by.iter().map(|key| app::signing_key(key)).collect();
        match app::inspect(&self.file, &keys) {
            Ok(inspected) => answer(self.json, || inspected.json(), || inspected.text(), inspected.loadable()),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
