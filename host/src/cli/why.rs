//! `portcullis why [CODE|TOKEN]`

use super::exit;
use crate::app;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Why {
    /// A code of `check` (E012), or a reason token of the log or of Proxy-Status (no_route); all of them unless given
    #[arg(value_name = "CODE|TOKEN")]
    word: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Why {
    pub fn execute(self) -> ExitCode {
        let found = self.word.as_deref().map_or_else(app::meanings, app::why);
        if self.json {
            let found: Value = found.iter().map(|meaning| meaning.json()).collect();
            super::say(&format!("{found:#}"), "\n");
        } else {
            super::say(&app::meanings_text(&found), "");
        }
        if let (true, Some(word)) = (found.is_empty(), &self.word) {
            let guess = app::likely(word).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            eprintln!("error: no code and no reason token is called `{word}`{guess}");
        }
        exit(!found.is_empty())
    }
}
