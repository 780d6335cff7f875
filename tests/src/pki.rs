//! A certificate authority for one test: its certificates are made at test time and end with it.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
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
        self.issue_numbered(dir, file, names, None);
    }

    /// As `issue`, with a serial number that can be revoked.
    pub fn issue_numbered(&self, dir: &Path, file: &str, names: &[&str], serial: Option<u64>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("nobody", String::as_str));
        params.serial_number = serial.map(SerialNumber::from);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        std::fs::write(dir.join(format!("{file}.pem")), leaf.pem()).expect("written");
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).expect("written");
    }

    /// Adds the list of what it has revoked to `file`.
    pub fn revoke(&self, dir: &Path, file: &str, serials: &[u64]) {
        revoke(dir, &self.issuer, file, serials);
    }
}

/// Adds a list of what a CA has revoked to `file`, which may have those of others.
pub fn revoke(dir: &Path, by: &Issuer<'_, KeyPair>, file: &str, serials: &[u64]) {
    let now = date_time_ymd(2020, 1, 1);
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: now,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: now,
        next_update: date_time_ymd(2090, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let mut text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.push_str(&list.signed_by(by).expect("signed").pem().expect("PEM"));
    std::fs::write(dir.join(file), text).expect("written");
}
