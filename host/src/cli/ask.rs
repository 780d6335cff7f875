//! `portcullis reload FILE`, `portcullis diff FILE` and `portcullis upgrade FILE`: asked of the proxy that runs with the file.

use super::{ConfigFile, exit};
use crate::app::{self, Asking};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Ask {
    #[command(flatten)]
    file: ConfigFile,
    /// The state directory of the running proxy, if it is not the one that the file names
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Ask {
    pub fn execute(self, question: &Asking) -> ExitCode {
        match app::ask(self.file.path(), self.state.as_deref(), question) {
            Ok(said) => {
                super::say(&if self.json { said.json() } else { said.words(question) }, "");
                exit(said.well)
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
