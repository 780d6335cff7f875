//! A certificate authority for one test: its certificates are made at test time and end with it.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};

/// Signs what a test needs.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a CA") }
    }

    /// Writes `<file>.pem` of the CA itself.
    pub fn write(&self, dir: &Path, file: &str) -> PathBuf {
        let path = dir.join(format!("{file}.pem"));
        std::fs::write(&path, self.issuer.pem()).expect("written");
        path
    }

    /// Writes `<file>.pem` and `<file>.key` for these names (or addresses), the first of which is the common name.
    pub fn issue(&self, dir: &Path, file: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("nobody", String::as_str));
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        std::fs::write(dir.join(format!("{file}.pem")), leaf.pem()).expect("written");
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).expect("written");
    }
}
