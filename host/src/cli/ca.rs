//! `portcullis ca root|trust|issue`

use super::ConfigFile;
use crate::app::{self, CaError, CaPlace, IssuedFor};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Ca {
    /// Print the root certificate as PEM; the CA is made if there is none yet
    Root {
        #[command(flatten)]
        place: Place,
    },
    /// Make this (Debian-like) system trust the root; needs root
    Trust {
        #[command(flatten)]
        place: Place,
        /// Take the trust back
        #[arg(long)]
        remove: bool,
    },
    /// Make a certificate by hand, good for 30 days: NAME.pem and NAME.key
    Issue {
        /// A host name, `*.name` or an address; for --client any text, such as alice or alice@example.com
        name: String,
        /// For a client, to be shown where mTLS is wanted
        #[arg(long)]
        client: bool,
        /// Where the files are written
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose CA it is.
#[derive(clap::Args)]
pub struct Place {
    /// The state directory; unless given, the configuration's, or the usual one
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    // Names the state directory; its default is read only if it is there.
    #[command(flatten)]
    file: ConfigFile,
}

impl Ca {
    pub fn execute(self) -> ExitCode {
        let (said, end) = match self {
            Self::Root { place } => (app::ca_root(&place.into()), ""),
            Self::Trust { place, remove } => (app::ca_trust(&place.into(), remove), "\n"),
            Self::Issue { name, client, out, place } => {
                let purpose = if client { IssuedFor::Client } else { IssuedFor::Server };
                (app::ca_issue(&place.into(), &name, purpose, &out), "\n")
            }
        };
        tell(said, end)
    }
}

fn tell(said: Result<String, CaError>, end: &str) -> ExitCode {
    match said {
        Ok(text) => {
            super::say(&text, end);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl From<Place> for CaPlace {
    fn from(Place { state, file }: Place) -> Self {
        Self { required: file.is_named(), config: file.path().to_path_buf(), state }
    }
}
