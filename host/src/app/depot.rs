//! `portcullis plugin fetch` and `plugin push`: components to and from registries.

use super::prepare::sandbox;
use crate::config::{Reference, SigningKey};
use crate::sandbox::{LoadError, SandboxError, digest, read_component};
use crate::trust::{self, Artefact, FetchError, Label, SignatureError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Why nothing was fetched or pushed.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    #[error("`{text}`: {why}{}", .help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default())]
    Reference { text: String, why: String, help: Option<String> },
    #[error("{reference}: {source}")]
    Fetch {
        reference: String,
        #[source]
        source: FetchError,
    },
    #[error("{}: {source}", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{file}: {source}")]
    Load {
        file: String,
        #[source]
        source: LoadError,
    },
    #[error("{file} {source}")]
    Signature {
        file: String,
        #[source]
        source: SignatureError,
    },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("a push needs a tag and takes no digest, which it makes: oci://{registry}/{repository}:1.0.0")]
    Tag { registry: String, repository: String },
}

/// What was fetched, and where it lies.
pub struct Fetched {
    reference: Reference,
    file: PathBuf,
    size: usize,
    sha256: [u8; 32],
    signature: Option<PathBuf>,
}

/// What was sent.
pub struct Pushed {
    reference: Reference,
    title: String,
    version: String,
    signed: bool,
}

/// Reads a reference as it is written on a command line.
pub fn reference(text: &str) -> Result<Reference, DepotError> {
    Reference::parse(text).map_err(|wrong| DepotError::Reference { text: text.to_owned(), why: wrong.message, help: wrong.help })
}

/// What is there, without keeping it.
pub fn look(text: &str) -> Result<(Reference, Artefact), DepotError> {
    let reference = reference(text)?;
    let artefact = trust::fetch(&reference, None).map_err(|source| DepotError::Fetch { reference: text.to_owned(), source })?;
    Ok((reference.pinned(artefact.digest), artefact))
}

/// A key as it is written on a command line: base64, or a file.
pub fn signing_key(text: &str) -> SigningKey {
    SigningKey::given(text)
}

/// Writes the component to `out`, or to a file named after its repository, and its signature beside it.
pub fn fetch(text: &str, out: Option<PathBuf>) -> Result<Fetched, DepotError> {
    let (reference, artefact) = look(text)?;
    let name = reference.repository.rsplit('/').next().unwrap_or("plugin");
    let file = out.unwrap_or_else(|| format!("{name}.wasm").into());
    write(&file, &artefact.wasm)?;
    let beside = trust::beside(&file);
    let signature = match &artefact.signature {
        Some(signature) => write(&beside, signature.as_bytes()).map(|()| Some(beside))?,
        None => None,
    };
    let sha256 = digest(&artefact.wasm);
    Ok(Fetched { reference, file, size: artefact.wasm.len(), sha256, signature })
}

/// Sends a component under what it says of itself; with the signature that lies beside it, if one does.
pub fn push(file: &Path, text: &str) -> Result<Pushed, DepotError> {
    let reference = reference(text)?;
    if reference.tag.is_none() || reference.digest.is_some() {
        return Err(DepotError::Tag { registry: reference.registry, repository: reference.repository });
    }
    let named = file.display().to_string();
    let failed = |source| DepotError::Load { file: named.clone(), source };
    let wasm = read_component(file).map_err(failed)?;
    let inspection = sandbox(None)?.inspect(&wasm).map_err(failed)?;
    // A component that is no plugin is somebody's too: a service, for example.
    let about = inspection.plugin.ok().map(|plugin| plugin.description);
    let stem = file.file_stem().map_or_else(|| named.clone(), |stem| stem.to_string_lossy().into_owned());
    let label = Label {
        title: about.as_ref().map_or(stem, |about| about.name.clone()),
        version: about.as_ref().map_or_else(|| reference.tag.clone().unwrap_or_default(), |about| about.version.clone()),
        description: about.and_then(|about| about.description),
        created: changed(file).map_err(|source| DepotError::Disk { path: file.to_owned(), source })?,
    };
    let signature = match trust::signature_in(&trust::beside(file)) {
        Ok(text) => Some(text),
        Err(SignatureError::Missing(_)) => None,
        Err(source) => return Err(DepotError::Signature { file: named, source }),
    };
    let digest = trust::push(&reference, wasm, &label, signature.as_deref())
        .map_err(|source| DepotError::Fetch { reference: text.to_owned(), source })?;
    Ok(Pushed { reference: reference.pinned(digest), title: label.title, version: label.version, signed: signature.is_some() })
}

impl Fetched {
    /// What to write into a configuration, and what lies where.
    pub fn text(&self) -> String {
        let Self { reference, file, size, signature, sha256 } = self;
        let signature = signature.as_ref().map_or_else(|| "none came with it".to_owned(), |path| path.display().to_string());
        let sha256: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("source = \"{reference}\"\nfile        {} ({size} bytes)\nsha256      {sha256}\nsignature   {signature}\n", file.display())
    }
}

impl Pushed {
    pub fn text(&self) -> String {
        let Self { reference, title, version, signed } = self;
        let signature = if *signed { "goes with it" } else { "none beside the file" };
        format!("source = \"{reference}\"\nplugin      {title} {version}\nsignature   {signature}\n")
    }
}

/// When the file was changed, so that the same file gives the same artefact.
fn changed(file: &Path) -> io::Result<String> {
    let changed: SystemTime = fs::metadata(file)?.modified()?;
    let seconds = OffsetDateTime::from(changed).replace_nanosecond(0).map_err(io::Error::other)?;
    seconds.format(&Rfc3339).map_err(io::Error::other)
}

/// Whole or not at all: a proxy may be starting with this file right now.
fn write(path: &Path, bytes: &[u8]) -> Result<(), DepotError> {
    let failed = |source| DepotError::Disk { path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}
