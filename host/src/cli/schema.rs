//! `portcullis schema`

use crate::config;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Schema {
    /// Of a file of cases for `plugin test` instead
    #[arg(long)]
    cases: bool,
}

impl Schema {
    pub fn execute(self) -> ExitCode {
        let schema = if self.cases { config::cases_schema() } else { config::schema() };
        super::say(&format!("{schema:#}"), "\n");
        ExitCode::SUCCESS
    }
}
