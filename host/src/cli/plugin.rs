//! `portcullis plugin inspect FILE`

use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Plugin {
    /// Show what a component is and may do, without letting it see a request
    Inspect {
        /// A component (`.wasm`), or the name of a bundled plugin
        file: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

impl Plugin {
    pub fn execute(self) -> ExitCode {
        let Self::Inspect { file, json } = self;
        match app::inspect(&file) {
            Ok(inspected) => {
                if json {
                    super::say(&format!("{:#}", inspected.json()), "\n");
                } else {
                    super::say(&inspected.text(), "");
                }
                super::exit(inspected.loadable())
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }
}
