//! `portcullis defaults`

use crate::config;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Defaults {
    /// Print as JSON
    #[arg(long, conflicts_with = "toml")]
    json: bool,
    /// Print as a `[limits]` table
    #[arg(long)]
    toml: bool,
}

impl Defaults {
    pub fn execute(self) -> ExitCode {
        let defaults = config::Defaults::new();
        if self.json {
            super::say(&format!("{:#}", defaults.json()), "\n");
        } else if self.toml {
            super::say(&defaults.toml(), "");
        } else {
            super::say(&defaults.text(), "");
        }
        ExitCode::SUCCESS
    }
}
