//! `portcullis plugin inspect FILE`, `plugin fetch REF`, `plugin push FILE REF`

use crate::app;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Plugin {
    /// Show what a component is and may do, without letting it see a request
    Inspect {
        /// A component (`.wasm`), an artefact of a registry (oci://…), or the name of a bundled plugin
        file: PathBuf,
        /// One of these must have signed it: a minisign public key, or a file with one; may be repeated
        #[arg(long, value_name = "KEY")]
        signed_by: Vec<String>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch a component from a registry, with its signature, and say under which digest it can be named in a configuration
    Fetch {
        /// oci://registry/repository, with :tag or @sha256:… (oci+http:// without TLS)
        #[arg(value_name = "REF")]
        reference: String,
        /// Where it is written; unless given, the repository's last part with .wasm
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Send a component to a registry, with the signature in FILE.minisig if there is one
    Push {
        /// A component (`.wasm`)
        file: PathBuf,
        /// oci://registry/repository:tag
        #[arg(value_name = "REF")]
        reference: String,
    },
}

impl Plugin {
    pub fn execute(self) -> ExitCode {
        match self {
            Self::Inspect { file, signed_by, json } => inspect(&file, &signed_by, json),
            Self::Fetch { reference, out } => tell(app::plugin_fetch(&reference, out).map(|fetched| fetched.text())),
            Self::Push { file, reference } => tell(app::plugin_push(&file, &reference).map(|pushed| pushed.text())),
        }
    }
}

fn inspect(file: &std::path::Path, signed_by: &[String], json: bool) -> ExitCode {
    let keys: Vec<_> = signed_by.iter().map(|key| app::signing_key(key)).collect();
    match app::inspect(file, &keys) {
        Ok(inspected) => {
            if json {
                super::say(&format!("{:#}", inspected.json()), "\n");
            } else {
                super::say(&inspected.text(), "");
            }
            super::exit(inspected.loadable())
        }
        Err(error) => failed(&error),
    }
}

fn tell(said: Result<String, impl std::fmt::Display>) -> ExitCode {
    match said {
        Ok(text) => {
            super::say(&text, "");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
