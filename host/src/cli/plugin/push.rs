//! `portcullis plugin push FILE REF`

use super::answered;
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Push {
    /// A component (`.wasm`)
    file: PathBuf,
    /// oci://registry/repository:tag
    #[arg(value_name = "REF")]
    reference: String,
}

impl Push {
    pub fn execute(self) -> ExitCode {
        answered(app::plugin_push(&self.file, &self.reference).map(|pushed| pushed.text()))
    }
}
