//! `portcullis plugin check FILE`

use super::{answer, failed};
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Check {
    /// A component (`.wasm`), or the name of a bundled plugin
    file: PathBuf,
    /// Grant a capability: log, clock, random, metrics, tracing, secret=NAMES, kv=NAMES or http=NAMES; may be repeated
    #[arg(long, value_name = "CAPABILITY")]
    allow: Vec<app::AllowArgument>,
    /// Settings of a link, as TOML or JSON; none unless given
    #[arg(long, alias = "config", value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn execute(self) -> ExitCode {
        match app::plugin_check(&self.file, &self.allow, self.settings.as_deref()) {
            Ok(reviewed) => answer(self.json, || reviewed.json(), || reviewed.text(), reviewed.well()),
            Err(error) => failed(&error),
        }
    }
}
