//! `portcullis plugin new NAME`

use super::{answer, failed, misused};
use crate::app::{self, NewError};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct New {
    /// What it is called: lower-case letters, digits and `-`
    name: String,
    /// Where it is made; a directory of its name here, unless given
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The SDK: the directory `sdk` of a checkout, or the URL of a git repository that has it. Needed outside a checkout
    #[arg(long, value_name = "PATH|URL")]
    sdk: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl New {
    pub fn execute(self) -> ExitCode {
        let new = app::New { name: &self.name, path: self.path.as_deref(), sdk: self.sdk.as_deref() };
        match app::plugin_new(&new) {
            Ok(made) => {
                let folder = made.folder.display();
                let json = || json!({ "folder": folder.to_string(), "files": made.files });
                let text = || format!("{folder} is made; next:\n\n  cd {folder}\n  cargo test\n\nand then what its README.md says\n");
                answer(self.json, json, text, true)
            }
            Err(error @ NewError::Name(..)) => misused(&error),
            Err(error) => failed(&error),
        }
    }
}
