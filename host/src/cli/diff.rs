//! `portcullis diff FILE`: what a reload would change, asked of the running proxy. Changes nothing.

use super::{ConfigFile, exit};
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Diff {
    #[command(flatten)]
    file: ConfigFile,
    /// The state directory of the running proxy, if it is not the one that the file names
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub fn execute(self) -> ExitCode {
        match app::ask_diff(self.file.path(), self.state.as_deref()) {
            Ok(said) => {
                super::say(&if self.json { said.json() } else { said.prospect() }, "");
                exit(said.well)
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
