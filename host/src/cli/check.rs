//! `portcullis check FILE`: everything that `run` would refuse, without serving.

use super::{ConfigFile, exit};
use crate::app;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Connect to every server of every upstream, and look at its certificate where TLS is on
    #[arg(long)]
    online: bool,
}

impl Check {
    pub fn execute(self) -> ExitCode {
        let checked = app::check(self.file.path());
        let checked = if self.online { checked.online() } else { checked };
        if !self.json {
            super::say(&checked.servers(), "");
        }
        if self.json {
            super::say(&format!("{:#}", checked.json()), "\n");
        } else if checked.is_clean() {
            super::say(&format!("{}: nothing is wrong ({})", self.file.path().display(), checked.summary()), "\n");
        } else {
            super::say(&checked.text(), "");
        }
        exit(!checked.has_errors())
    }
}
