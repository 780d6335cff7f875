//! `portcullis schema`

use crate::config;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Schema {}

impl Schema {
    pub fn execute(self) -> ExitCode {
        println!("{:#}", config::schema());
        ExitCode::SUCCESS
    }
}
