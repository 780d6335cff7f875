//! `portcullis run FILE`

use super::ConfigFile;
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the secrets of all TLS connections to this file, for network analysers: for debugging only.
    #[arg(long, value_name = "FILE")]
    tls_key_log: Option<PathBuf>,
}

impl Run {
    pub fn execute(self) -> ExitCode {
        match app::run(self.file.path(), self.tls_key_log.as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
