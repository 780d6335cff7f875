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
            println!("{:#}", defaults.json());
        } else if self.toml {
            print!("{}", defaults.toml());
        } else {
            print!("{}", defaults.text());
        }
        ExitCode::SUCCESS
    }
}
