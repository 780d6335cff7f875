//! `portcullis plugin bench FILE`

use super::{answer, failed};
use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Bench {
    /// A component (`.wasm`), or the name of a bundled plugin
    file: PathBuf,
    /// Grant a capability: log, clock, random, metrics, tracing, secret=NAMES, kv=NAMES or http=NAMES; may be repeated
    #[arg(long, value_name = "CAPABILITY", conflicts_with = "cases")]
    allow: Vec<app::AllowArgument>,
    /// Settings of a link, as TOML or JSON; none unless given
    #[arg(long, alias = "config", value_name = "FILE", conflicts_with = "cases")]
    settings: Option<PathBuf>,
    /// Measure the first exchange of each case of this file, with the file's grants and settings
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// How long to measure each figure, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn execute(self) -> ExitCode {
        let (settings, cases) = (self.settings.as_deref(), self.cases.as_deref());
        let bench = app::Bench { file: &self.file, allow: &self.allow, settings, cases, time: Duration::from_millis(self.time) };
        match app::plugin_bench(&bench) {
            Ok(benched) => answer(self.json, || benched.json(), || benched.text(), benched.measured()),
            Err(error) => failed(&error),
        }
    }
}
