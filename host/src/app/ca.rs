//! `portcullis ca …`: the local CA for people: its root, the system's trust in it, certificates by hand.

use super::state::{self, StateError};
use crate::certs::{DiskError, IssuedFor, LocalCa, LocalCaError};
use crate::config::{self, Report};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;

/// Which state directory is meant.
pub struct CaPlace {
    /// Said by hand.
    pub state: Option<PathBuf>,
    /// Whose `[server] state` counts otherwise; `required`: it was said by hand, so it must be there.
    pub config: PathBuf,
    pub required: bool,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{}", .0.text())]
    Config(Report),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("local CA: {0}")]
    Ca(#[from] LocalCaError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{path}: {1}", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{path} is there already; remove it, or choose another directory with --out", path = .0.display())]
    Exists(PathBuf),
    #[error("only root may change the system's trust; run: sudo {program} ca trust --state {state}{remove}")]
    NotRoot { program: String, state: String, remove: &'static str },
    #[error("this is no Debian-like system: {0} is not there")]
    NoStore(&'static str),
    #[error("update-ca-certificates failed: {0}")]
    Update(String),
}

/// Where Debian looks for CAs of the machine's own (update-ca-certificates(8)).
const LOCAL_STORE: &str = "/usr/local/share/ca-certificates";

/// The root certificate as PEM. The CA is made if there is none yet.
pub fn root(place: &CaPlace) -> Result<String, CaError> {
    let file = place.state()?.join("ca/root.pem");
    // Read without more: root may want to trust the CA of a user, whose directory it would not use otherwise.
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = place.open()?.root_file().to_path_buf();
            fs::read_to_string(&file).map_err(|error| CaError::File(file, error))
        }
        Err(error) => Err(CaError::File(file, error)),
    }
}

/// Puts the root into the system's store, or takes it out; what was done, in one line.
pub fn trust(place: &CaPlace, remove: bool) -> Result<String, CaError> {
    if !Path::new(LOCAL_STORE).is_dir() {
        return Err(CaError::NoStore(LOCAL_STORE));
    }
    let text = root(place)?;
    // Each state directory has a root of its own; they must not take each other's place.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let short: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let file = Path::new(LOCAL_STORE).join(format!("portcullis-local-{short}.crt"));
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => place.not_root(remove),
        _ => CaError::File(file.clone(), error),
    };
    if remove {
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(format!("not trusted: {} is not there", file.display())),
            removed => removed.map_err(refused)?,
        }
        update(&["--fresh"])?;
        return Ok(format!("no longer trusted: {} is removed", file.display()));
    }
    fs::write(&file, &text).map_err(refused)?;
    update(&[])?;
    Ok(format!("trusted by this system: {}", file.display()))
}

fn update(arguments: &[&str]) -> Result<(), CaError> {
    // Not in every user's PATH.
    let output = Command::new("/usr/sbin/update-ca-certificates").args(arguments).output();
    match output {
        Err(error) => Err(CaError::Update(error.to_string())),
        Ok(output) if !output.status.success() => Err(CaError::Update(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Ok(_) => Ok(()),
    }
}

/// Writes `<name>.pem` and `<name>.key` into `out`; what was made, in one line.
pub fn issue(place: &CaPlace, name: &str, purpose: IssuedFor, out: &Path) -> Result<String, CaError> {
    let issued = place.open()?.issue(name, purpose, OffsetDateTime::now_utc())?;
    let files = ["pem", "key"].map(|end| out.join(format!("{}.{end}", issued.file_name)));
    if let Some(there) = files.iter().find(|file| file.exists()) {
        return Err(CaError::Exists(there.clone()));
    }
    let [certificate, key] = &files;
    crate::certs::publish(key, &issued.key)?;
    fs::write(certificate, &issued.certificate).map_err(|error| CaError::File(certificate.clone(), error))?;
    Ok(format!("{} and {}, good until {}", certificate.display(), key.display(), issued.ends.date()))
}

impl CaPlace {
    fn state(&self) -> Result<PathBuf, CaError> {
        let configured = match &self.state {
            Some(state) => Some(state.clone()),
            None if self.required || self.config.exists() => config::load(&self.config).map_err(CaError::Config)?.0.server.state,
            None => None,
        };
        Ok(state::place(configured.as_deref()))
    }

    fn open(&self) -> Result<LocalCa, CaError> {
        Ok(LocalCa::open(&state::open(Some(&self.state()?))?)?)
    }

    fn not_root(&self, remove: bool) -> CaError {
        let program = std::env::current_exe().map_or_else(|_| "portcullis".into(), |path| path.display().to_string());
        let state = self.state().and_then(|state| state.canonicalize().map_err(|error| CaError::File(state, error)));
        let state = state.map_or_else(|_| "DIR".into(), |state| state.display().to_string());
        CaError::NotRoot { program, state, remove: if remove { " --remove" } else { "" } }
    }
}
