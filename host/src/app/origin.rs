//! Where components come from: files, the binary, registries by way of the state directory; and whether they are signed by whom they must be.

use crate::config::{Allow, Diagnostic, LinkSpec, Location, PluginRef, PluginSource, PluginSpec, Reference};
use crate::sandbox::{Capability, LoadError, Plugin, Refusal, bundled, read_component};
use crate::trust::{Artefact, Shelf, SignatureError, beside, fetch_all, kept, signature_in, verify};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whom to ask for components.
pub enum Origins {
    /// Registries, for what is not in the state directory.
    Everybody(PathBuf),
    /// Nobody outside this machine.
    Nobody(Shelf),
}

/// What registries gave, by digest.
#[derive(Default)]
pub struct Fetched {
    found: BTreeMap<[u8; 32], Result<Artefact, String>>,
}

impl Origins {
    /// To run what was fetched, and fetch what was not.
    pub fn everybody(state: &Path) -> Self {
        Self::Everybody(state.to_path_buf())
    }

    /// For a look only.
    pub fn nobody(state: &Path) -> Self {
        Self::Nobody(Shelf::at(state))
    }

    /// Everything that comes from registries, at once. Blocks while they are asked.
    pub fn fetch<'o, 'c: 'o>(&self, wanted: impl Iterator<Item = &'o Origin<'c>>) -> Fetched {
        let wanted: BTreeMap<[u8; 32], &Reference> = wanted.filter_map(Origin::reference).collect();
        if wanted.is_empty() {
            return Fetched::default();
        }
        let found = match self {
            Self::Nobody(shelf) => {
                let here = |(digest, _): (&[u8; 32], _)| Some((*digest, Ok(kept(digest, shelf)?)));
                wanted.iter().filter_map(here).collect()
            }
            Self::Everybody(state) => match Shelf::open(state) {
                Err(error) => wanted.keys().map(|digest| (*digest, Err(error.to_string()))).collect(),
                Ok(shelf) => {
                    let all = fetch_all(wanted.values().map(|reference| (*reference).clone()).collect(), &shelf);
                    wanted.into_keys().zip(all.into_iter().map(|one| one.map_err(|error| error.to_string()))).collect()
                }
            },
        };
        Fetched { found }
    }
}

impl Fetched {
    fn artefact(&self, name: &str, spec: &PluginSpec, reference: &Reference, digest: &[u8; 32]) -> Result<&Artefact, Box<Diagnostic>> {
        let at = || spec.source_at.clone();
        match self.found.get(digest) {
            Some(Ok(artefact)) => Ok(artefact),
            Some(Err(why)) => Err(Box::new(Diagnostic::unfetched(name, at(), why))),
            None => Err(Box::new(Diagnostic::not_yet_fetched(name, at(), reference))),
        }
    }
}

/// Why a component is wanted.
pub enum Origin<'c> {
    Declared(&'c PluginSpec),
    /// A bundled plugin; its first link.
    Used(&'c LinkSpec),
}

impl Origin<'_> {
    fn reference(&self) -> Option<([u8; 32], &Reference)> {
        match self {
            Self::Declared(PluginSpec { source: PluginSource::Registry { reference, digest }, .. }) => Some((*digest, reference)),
            _ => None,
        }
    }

    pub fn at(&self) -> Location {
        match self {
            Self::Declared(spec) => spec.source_at.clone(),
            Self::Used(link) => link.at.clone(),
        }
    }

    pub fn pin(&self) -> Option<[u8; 32]> {
        match self {
            Self::Declared(spec) => spec.sha256,
            Self::Used(_) => None,
        }
    }

    /// The bytes, signed by whom the operator wants.
    pub fn read<'f>(&self, name: &PluginRef, fetched: &'f Fetched) -> Result<Cow<'f, [u8]>, Box<Diagnostic>> {
        let own = match (self, name) {
            (Self::Declared(spec), _) => match &spec.source {
                PluginSource::Path(path) => {
                    let bytes = read_component(path).map_err(|error| Box::new(self.unloadable(name, &error)))?;
                    self.signed(name, spec, &bytes, || signature_in(spec.signature.as_deref().unwrap_or(&beside(path))).map(Some))?;
                    return Ok(Cow::Owned(bytes));
                }
                PluginSource::Registry { reference, digest } => {
                    let artefact = fetched.artefact(&name.to_string(), spec, reference, digest)?;
                    self.signed(name, spec, &artefact.wasm, || match &spec.signature {
                        Some(path) => signature_in(path).map(Some),
                        None => Ok(artefact.signature.clone()),
                    })?;
                    return Ok(Cow::Borrowed(&artefact.wasm));
                }
                PluginSource::Bundled(own) => *own,
            },
            (_, PluginRef::Bundled(own)) => *own,
            (Self::Used(_), PluginRef::Declared(declared)) => &declared.0,
        };
        let missing = || Box::new(Diagnostic::plugin_unreadable(&name.to_string(), self.at(), &"it is not in this binary"));
        bundled::bundled(own).map(Cow::Borrowed).ok_or_else(missing)
    }

    fn signed(
        &self,
        name: &PluginRef,
        spec: &PluginSpec,
        bytes: &[u8],
        text: impl FnOnce() -> Result<Option<String>, SignatureError>,
    ) -> Result<(), Box<Diagnostic>> {
        if spec.signed_by.is_empty() {
            return Ok(());
        }
        let verified = text().and_then(|text| verify(bytes, text.as_deref(), &spec.signed_by));
        match verified {
            Ok(signed) => tracing::info!("plugin `{name}`: signed by {}: {}", signed.by, signed.comment),
            Err(error) => return Err(Box::new(Diagnostic::unsigned(&name.to_string(), self.at(), &error))),
        }
        Ok(())
    }

    /// What it imports and is not granted.
    pub fn refused(&self, name: &PluginRef, plugin: &Plugin) -> Vec<Diagnostic> {
        let nothing = Allow::default();
        let (allow, due) = match (self, name) {
            (Self::Declared(spec), _) => match &spec.source {
                PluginSource::Bundled(own) => (&spec.allow, bundled::rights(own)),
                _ => (&spec.allow, &[][..]),
            },
            (Self::Used(_), PluginRef::Bundled(own)) => (&nothing, bundled::rights(own)),
            (Self::Used(_), PluginRef::Declared(_)) => (&nothing, &[][..]),
        };
        let missing = plugin.needs().iter().filter(|(capability, _)| !capability.is_in(allow) && !due.contains(capability));
        let refused = |(capability, import): &(Capability, String)| {
            let help = format!("add: allow = {{ {} }}", capability.grant());
            Diagnostic::not_granted(&name.to_string(), self.at(), import, Some(&help))
        };
        missing.map(refused).collect()
    }

    pub fn unloadable(&self, name: &PluginRef, error: &LoadError) -> Diagnostic {
        let name = name.to_string();
        match (self, error) {
            (Self::Declared(spec), LoadError::Digest { found, pinned }) => {
                Diagnostic::digest_differs(&name, spec, &hex(pinned), &hex(found))
            }
            (Self::Declared(spec), LoadError::Import(Refusal::NotGranted { import } | Refusal::Item { import, .. })) => {
                Diagnostic::not_granted(&name, spec.at.clone(), import, None)
            }
            (_, error) => match error.code() {
                "E031" => Diagnostic::import_refused(&name, self.at(), error),
                "E033" => Diagnostic::phase_missing(&name, self.at(), error),
                _ => Diagnostic::plugin_unreadable(&name, self.at(), error),
            },
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
