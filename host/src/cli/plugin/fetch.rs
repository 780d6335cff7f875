//! `portcullis plugin fetch REF`

use super::answered;
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Fetch {
    /// oci://registry/repository, with :tag or @sha256:… (oci+http:// without TLS)
    #[arg(value_name = "REF")]
    reference: String,
    /// Where it is written; unless given, the repository's last part with .wasm
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Fetch {
    pub fn execute(self) -> ExitCode {
        answered(app::plugin_fetch(&self.reference, self.out).map(|fetched| fetched.text()))
    }
}
