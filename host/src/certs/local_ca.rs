//! A certificate authority of our own, for `tls = "local"`: one root per state directory, short-lived leaves.
//!
//! `<state>/ca/root.key.pem` holds root and key in one file, so that no process can ever see one without the other;
//! `<state>/ca/root.pem` is the copy without the key, to be trusted by clients. Leaves stand in `<state>/leaves/<name>.pem`, key and
//! chain in one file for the same reason. All of it is owner-only.

use super::coverage::{Coverage, Subject};
use super::files::Certified;
use super::owner_only::{self, DiskError};
use crate::config::SiteName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

const ROOT_LIFE: Duration = Duration::days(3650);
/// A stolen development key is worth little for long; a leaf is remade without anyone noticing.
const LEAF_LIFE: Duration = Duration::days(7);
/// Clocks of containers and virtual machines run behind.
const BACKDATED: Duration = Duration::hours(1);

/// Why the local CA or a leaf cannot be used: the operator's disk or what someone wrote there.
#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{path}: {1}; remove the file to have a new one made", path = .0.display())]
    Contents(PathBuf, String),
    #[error("`{0}` is no name that a certificate can be made for")]
    Name(String),
    #[error("the certificate could not be made: {0}")]
    Signing(#[from] rcgen::Error),
}

/// The root with its key, and the place of the leaves.
pub struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    leaves: PathBuf,
    /// `<state>/ca/root.pem`, for messages.
    root_file: PathBuf,
}

impl LocalCa {
    /// The CA in `<state>`, made on first use. Any number of processes may do this at once: the first to link its root into
    /// place wins, the others read it.
    pub fn open(state: &Path) -> Result<Self, LocalCaError> {
        let (ca, leaves) = (state.join("ca"), state.join("leaves"));
        owner_only::directory(&ca)?;
        owner_only::directory(&leaves)?;
        let both = ca.join("root.key.pem");
        if !both.exists() {
            owner_only::publish_new(&both, &new_root()?)?;
        }
        let text = fs::read(&both).map_err(|error| DiskError::new(both.clone(), error))?;
        let contents = |message: String| LocalCaError::Contents(both.clone(), message);
        let root = CertificateDer::from_pem_slice(&text).map_err(|error| contents(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| contents(error.to_string()))?;
        let key = KeyPair::try_from(&key).map_err(|error| contents(error.to_string()))?;
        let life = Coverage::read(&root).ok_or_else(|| contents("not a certificate".into()))?;
        if life.not_after < OffsetDateTime::now_utc() + LEAF_LIFE {
            return Err(contents(format!("the root ends on {}", life.not_after.date())));
        }
        let root_file = ca.join("root.pem");
        let issuer = Issuer::from_ca_cert_der(&root, key).map_err(|error| contents(error.to_string()))?;
        let this = Self { issuer, root, leaves, root_file };
        this.write_copy()?;
        Ok(this)
    }

    /// The root certificate that clients must trust, as PEM.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// A leaf for this site: the one on disk, or a new one if that is missing, foreign, or has less than a third of its life left.
    pub fn leaf(&self, site: &SiteName, now: OffsetDateTime) -> Result<Certified, LocalCaError> {
        let file = self.leaves.join(leaf_file_name(site));
        if let Some(leaf) = self.kept(&file, site).filter(|leaf| now < renewal(&leaf.coverage)) {
            return Ok(leaf);
        }
        owner_only::publish(&file, &self.new_leaf(site, now)?)?;
        self.kept(&file, site).ok_or_else(|| LocalCaError::Contents(file, "not the leaf that was just written".into()))
    }

    /// The leaf in `file`, if it is one of ours, whole, and for this site.
    fn kept(&self, file: &Path, site: &SiteName) -> Option<Certified> {
        let text = fs::read(file).ok()?;
        let key = PrivateKeyDer::from_pem_slice(&text).ok()?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().ok()?;
        let coverage = Coverage::read(chain.first()?)?;
        let ours = chain.last() == Some(&self.root) && coverage.covers(&Subject::of(site));
        let leaf_only = chain.get(..1)?.to_vec();
        let key = CertifiedKey::from_der(leaf_only, key, &default_provider()).ok().filter(|_| ours)?;
        Some(Certified { key: Arc::new(key), coverage, stapled: None })
    }

    /// Key, leaf and root as PEM. The root is there to tell later whether the leaf is of this CA; it is not sent to clients.
    fn new_leaf(&self, site: &SiteName, now: OffsetDateTime) -> Result<String, LocalCaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(alternative_names(site))?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Portcullis local");
        params.not_before = now - BACKDATED;
        params.not_after = now + LEAF_LIFE;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let root = fs::read_to_string(&self.root_file).map_err(|error| DiskError::new(self.root_file.clone(), error))?;
        Ok(format!("{}{}{}", key.serialize_pem(), leaf.pem(), root))
    }

    /// The root without its key, beside the pair.
    fn write_copy(&self) -> Result<(), LocalCaError> {
        let both = self.root_file.with_file_name("root.key.pem");
        let text = fs::read_to_string(&both).map_err(|error| DiskError::new(both, error))?;
        let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
        let certificate = text.get(begin..).unwrap_or_default();
        match fs::read_to_string(&self.root_file) {
            Ok(copy) if copy == certificate => Ok(()),
            _ => Ok(owner_only::publish(&self.root_file, certificate)?),
        }
    }
}

/// When a leaf is to be replaced: with a third of its life left.
pub fn renewal(leaf: &Coverage) -> OffsetDateTime {
    leaf.not_after - LEAF_LIFE / 3
}

/// Key first, certificate last.
fn new_root() -> Result<String, LocalCaError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Portcullis local");
    params.distinguished_name.push(DnType::CommonName, format!("Portcullis local CA {}", now.date()));
    params.not_before = now - BACKDATED;
    params.not_after = now + ROOT_LIFE;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), root.pem()))
}

/// What a leaf is for. `localhost` is also reached by address; a `*` site has no name of its own, so its leaf serves local use.
pub fn alternative_names(site: &SiteName) -> Vec<String> {
    let loopback = || vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    match Subject::of(site) {
        Subject::Any => loopback(),
        Subject::Host(host) if host == "localhost" => loopback(),
        Subject::Host(host) => vec![host],
        Subject::Below(suffix) => vec![format!("*.{suffix}"), suffix],
        Subject::Ip(ip) => vec![ip.to_string()],
    }
}

/// Only characters that mean nothing to a file system; sites differ in the others (`*` and `:`) nowhere else.
fn leaf_file_name(site: &SiteName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let name: String = site.to_string().chars().map(plain).collect();
    format!("{name}.pem")
}

#[cfg(test)]
mod tests;
