//! What registries hold: a manifest, and layers that it names by digest. Three ways to put a component into one are common, and all are read:
//! the CNCF's Wasm artefact (`application/wasm`), its forerunner (`application/vnd.wasm.content.layer.v1+wasm` and the like, as Istio has it), and an
//! ordinary image with `plugin.wasm` in a layer, as Envoy and Istio take it. Pure: knows no network.

use super::{LARGEST, digest, hex};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// All that we can read, for `Accept`.
pub const MANIFESTS: &[&str] = &[MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// A component as such.
const WASM: &str = "application/wasm";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Where a minisign signature of the component stands: in the manifest, so that tools which expect one layer find one.
const SIGNATURE: &str = "io.portcullis.signature.minisign";

/// The file in an image's layer that is the component.
const IN_IMAGE: &str = "plugin.wasm";

/// Of a manifest; registries take up to 4 MiB.
pub const LARGEST_MANIFEST: usize = 4 << 20;

/// A component from a registry.
#[derive(Debug, Clone)]
pub struct Artefact {
    pub wasm: Vec<u8>,
    /// In minisign's format, if it came with one.
    pub signature: Option<String>,
    /// Of the manifest.
    pub digest: [u8; 32],
    pub annotations: BTreeMap<String, String>,
}

/// Why an artefact is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("its manifest cannot be read: {0}")]
    Manifest(String),
    #[error("it holds no component: {0}")]
    NoComponent(String),
    #[error("its layer is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    #[error("its layer cannot be unpacked: {0}")]
    Layer(#[from] io::Error),
}

/// What a manifest leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Leads {
    /// To the layer with the component.
    Layer(Layer),
    /// To another manifest, one of several.
    Manifest([u8; 32]),
}

/// The layer with the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub digest: [u8; 32],
    /// Bytes.
    pub size: usize,
    packing: Packing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Tar,
    TarGzip,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
}

impl Manifest {
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|error| Unreadable::Manifest(error.to_string()))
    }

    /// Of several manifests the one for Wasm, or the only one; of several layers the last that holds a component, since later ones cover earlier.
    pub fn leads(&self) -> Result<Leads, Unreadable> {
        if !self.manifests.is_empty() {
            let on = |one: &Descriptor, architecture| one.platform.as_ref().is_some_and(|platform| platform.architecture == architecture);
            // What Docker adds about how an image was built is for the architecture `unknown`.
            let mut some = self.manifests.iter().filter(|one| !on(one, "unknown"));
            let only = some.clone().count() == 1;
            if let Some(one) = some.find(|one| only || on(one, "wasm")) {
                return Ok(Leads::Manifest(sha256(&one.digest)?));
            }
            return Err(Unreadable::NoComponent("none of its manifests is for the architecture `wasm`".to_owned()));
        }
        let found = self.layers.iter().rev().find_map(|layer| Some((layer, packing(&layer.media_type)?)));
        let Some((layer, packing)) = found else {
            let types: Vec<_> = self.layers.iter().map(|layer| &*layer.media_type).collect();
            return Err(Unreadable::NoComponent(format!("its layers are [{}]", types.join(", "))));
        };
        let size = usize::try_from(layer.size).ok().filter(|size| *size <= LARGEST).ok_or(Unreadable::TooLarge)?;
        Ok(Leads::Layer(Layer { digest: sha256(&layer.digest)?, size, packing }))
    }

    /// The component out of its layer.
    pub fn open(self, layer: &Layer, bytes: Vec<u8>, digest: [u8; 32]) -> Result<Artefact, Unreadable> {
        let wasm = match layer.packing {
            Packing::None => bytes,
            Packing::Tar => unpack(&*bytes)?,
            Packing::TarGzip => unpack(flate2::read::GzDecoder::new(&*bytes))?,
        };
        Ok(Artefact { wasm, signature: self.annotations.get(SIGNATURE).cloned(), digest, annotations: self.annotations })
    }
}

/// `None`: it holds no component that we could find.
fn packing(media_type: &str) -> Option<Packing> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    match essence {
        WASM => Some(Packing::None),
        _ if essence.ends_with("+wasm") => Some(Packing::None),
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => Some(Packing::Tar),
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Packing::TarGzip),
        _ => None,
    }
}

/// `plugin.wasm` out of an archive. What unpacks to more than a component may have ends it.
fn unpack(archive: impl Read) -> Result<Vec<u8>, Unreadable> {
    // A layer may hold other files beside it; more than twice the largest component is no plugin's image.
    let mut archive = tar::Archive::new(archive.take(2 * LARGEST as u64));
    for entry in archive.entries()? {
        let entry = entry?;
        let fits = entry.path().is_ok_and(|path| path.strip_prefix(".").unwrap_or(&path) == Path::new(IN_IMAGE));
        if !fits || !entry.header().entry_type().is_file() {
            continue;
        }
        if entry.size() > LARGEST as u64 {
            return Err(Unreadable::TooLarge);
        }
        let size = entry.size();
        let mut wasm = Vec::new();
        entry.take(size).read_to_end(&mut wasm)?;
        return Ok(wasm);
    }
    Err(Unreadable::NoComponent(format!("no {IN_IMAGE} in its last layer")))
}

fn sha256(text: &str) -> Result<[u8; 32], Unreadable> {
    let wrong = || Unreadable::Manifest(format!("`{text}` is no SHA-256"));
    let bytes = text.strip_prefix("sha256:").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

/// What is said of a component where people look through a registry.
#[derive(Debug, Clone, Default)]
pub struct Label {
    pub title: String,
    pub version: String,
    pub description: Option<String>,
    /// RFC 3339.
    pub created: String,
}

/// A component as the CNCF's Wasm artefact: the configuration and the manifest, ready to be sent. Equal components with equal labels give equal digests.
pub fn pack(wasm: &[u8], label: &Label, signature: Option<&str>) -> (String, String) {
    let layer = format!("sha256:{}", hex(&digest(wasm)));
    let config =
        json!({ "created": label.created, "architecture": "wasm", "os": "wasip2", "layerDigests": [layer], "component": {} }).to_string();
    let mut annotations = serde_json::Map::new();
    let mut annotate = |key: &str, value: &str| drop(annotations.insert(key.to_owned(), Value::from(value)));
    annotate("org.opencontainers.image.created", &label.created);
    annotate("org.opencontainers.image.title", &label.title);
    annotate("org.opencontainers.image.version", &label.version);
    if let Some(description) = &label.description {
        annotate("org.opencontainers.image.description", description);
    }
    if let Some(signature) = signature {
        annotate(SIGNATURE, signature);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": format!("sha256:{}", hex(&digest(config.as_bytes()))), "size": config.len() },
        "layers": [{ "mediaType": WASM, "digest": layer, "size": wasm.len() }],
        "annotations": annotations,
    });
    (config, manifest.to_string())
}

#[cfg(test)]
mod tests;
