//! `portcullis plugin test FILE CASES`

use super::{answer, failed};
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Test {
    /// A component (`.wasm`), or the name of a bundled plugin
    file: PathBuf,
    /// A TOML file of cases
    cases: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Test {
    pub fn execute(self) -> ExitCode {
        match app::plugin_test(&self.file, &self.cases) {
            Ok(tested) => answer(self.json, || tested.json(), || tested.text(), tested.passed()),
            Err(error) => failed(&error),
        }
    }
}
