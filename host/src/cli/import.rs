//! `portcullis import nginx FILE`, `portcullis import caddy FILE`

use super::exit;
use crate::app::{self, ImportFrom};
use std::path::PathBuf;
use std::process::ExitCode;

/// The configuration is printed; what could not be carried over is listed on standard error, and then the exit code is 1.
#[derive(clap::Subcommand)]
pub enum Import {
    /// Print an nginx.conf, or a file with `server` blocks, as a configuration of Portcullis
    Nginx {
        /// nginx.conf, with what it includes
        file: PathBuf,
    },
    /// Print a Caddyfile as a configuration of Portcullis
    Caddy {
        /// The Caddyfile, with what it imports
        file: PathBuf,
    },
}

impl Import {
    pub fn execute(self) -> ExitCode {
        let (from, file) = match self {
            Self::Nginx { file } => (ImportFrom::Nginx, file),
            Self::Caddy { file } => (ImportFrom::Caddy, file),
        };
        match app::import(from, &file) {
            Ok(imported) => {
                super::say(&imported.text, "");
                imported.lost.iter().for_each(|lost| eprintln!("{lost}"));
                if !imported.lost.is_empty() {
                    eprintln!("not carried over: {}. The rest is printed; `portcullis check` reads it.", imported.lost.len());
                }
                exit(imported.lost.is_empty())
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
