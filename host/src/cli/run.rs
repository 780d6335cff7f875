//! `portcullis run FILE`

use super::ConfigFile;
use crate::app;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    file: ConfigFile,
}

impl Run {
    pub fn execute(self) -> ExitCode {
        match app::run(&self.file.config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
