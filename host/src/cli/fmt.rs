//! `portcullis fmt [FILE]…`

use super::exit;
use crate::config;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Fmt {
    /// Files to lay out; `-` reads standard input and prints
    #[arg(value_name = "FILE", default_value = "portcullis.toml")]
    files: Vec<PathBuf>,
    /// Write nothing; name the files that are laid out otherwise, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub fn execute(self) -> ExitCode {
        // All of them, whatever is wrong with one.
        let outcomes: Vec<bool> = self.files.iter().map(|file| self.one(file)).collect();
        exit(outcomes.iter().all(|well| *well))
    }

    fn one(&self, file: &Path) -> bool {
        let standard = file == Path::new("-");
        let text = match if standard { read_in() } else { fs::read_to_string(file) } {
            Ok(text) => text,
            Err(error) => return failed(file, &error),
        };
        let laid = match config::format(file, &text) {
            Ok(laid) => laid,
            Err(report) => {
                eprint!("{}", report.text());
                return false;
            }
        };
        match (self.check, standard) {
            (true, _) if laid != text => {
                super::say(&file.display().to_string(), "\n");
                false
            }
            (false, true) => {
                super::say(&laid, "");
                true
            }
            (false, false) if laid != text => write(file, &laid).map_or_else(|error| failed(file, &error), |()| true),
            _ => true,
        }
    }
}

fn read_in() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map(|_| text)
}

/// Aside and into place, so that a running proxy that watches the file never sees half of it.
fn write(file: &Path, text: &str) -> io::Result<()> {
    // The file itself, not a link to it.
    let file = fs::canonicalize(file)?;
    let mut aside = file.clone().into_os_string();
    aside.push(format!(".{}", std::process::id()));
    let done = write_as(&file, Path::new(&aside), text).and_then(|()| fs::rename(&aside, &file));
    if done.is_err() {
        // Nothing more can be done about it.
        let _ = fs::remove_file(&aside);
    }
    done
}

/// A file may have secrets: nobody reads its copy who could not read it, and it stays its owner's.
fn write_as(file: &Path, aside: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(file)?;
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
    copy.write_all(text.as_bytes())?;
    fchown(&copy, Some(before.uid()), Some(before.gid()))?;
    copy.set_permissions(before.permissions())
}

fn failed(file: &Path, error: &io::Error) -> bool {
    eprintln!("error: {}: {error}", file.display());
    false
}
