//! `portcullis schema`

use crate::config;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Schema {}

impl Schema {
    pub fn execute(self) -> ExitCode {
        super::say(&format!("{:#}", config::schema()), "\n");
        ExitCode::SUCCESS
    }
}
