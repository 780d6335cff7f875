//! The files of one ACME directory: `<state>/acme/<directory>/account.json` and, for each name, key and chain in one
//! `<name>.pem`, so that neither is ever seen without the other. Owner-only.

use crate::certs::coverage::{Coverage, Subject};
use crate::certs::files::Certified;
use crate::certs::owner_only::{self, DiskError};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The shelf for the directory with this URL, made if it is not there.
    pub fn open(state: &Path, directory: &str) -> Result<Self, DiskError> {
        let this = Self::at(state, directory);
        owner_only::directory(&state.join("acme"))?;
        owner_only::directory(&this.folder)?;
        Ok(this)
    }

    /// The same for a look only: it need not be there.
    pub fn at(state: &Path, directory: &str) -> Self {
        Self { folder: state.join("acme").join(folder_name(directory)) }
    }

    /// The certificate for `name`, if there is one that can be used with its key.
    pub fn certificate(&self, name: &str) -> Option<Certified> {
        read(&fs::read_to_string(self.of(name)).ok()?, name)
    }

    /// `text`: key and chain.
    pub fn keep(&self, name: &str, text: &str) -> Result<(), DiskError> {
        owner_only::publish(&self.of(name), text)
    }

    /// As JSON.
    pub fn account(&self) -> Option<String> {
        fs::read_to_string(self.folder.join("account.json")).ok()
    }

    pub fn keep_account(&self, text: &str) -> Result<(), DiskError> {
        owner_only::publish(&self.folder.join("account.json"), text)
    }

    /// A file to lock while the certificate for `name` is ordered.
    pub fn lock(&self, name: &str) -> Result<File, DiskError> {
        let path = self.folder.join(format!("{name}.lock"));
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(|error| DiskError::new(path, error))
    }

    /// That `name`'s file could not be worked with.
    pub fn refused(&self, name: &str, error: io::Error) -> DiskError {
        DiskError::new(self.of(name), error)
    }

    /// Site names are host names, which have no character that means anything to a file system.
    fn of(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }
}

/// Key and chain, if they belong together and are for `name`.
pub fn read(text: &str, name: &str) -> Option<Certified> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    let coverage = Coverage::read(chain.first()?).filter(|coverage| coverage.covers(&Subject::Host(name.to_owned())))?;
    let key = CertifiedKey::from_der(chain, key, &default_provider()).ok()?;
    Some(Certified { key: Arc::new(key), coverage, stapled: None })
}

/// For people to recognise, and different for different URLs.
fn folder_name(directory: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let shown: String = directory.trim_start_matches("https://").chars().map(plain).take(80).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, directory.as_bytes());
    let short: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{short}", shown.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn kept_for_its_name_and_closed_to_others() {
        let state = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::open(state.path(), "https://ca.example/dir").expect("made");
        assert!(shelf.certificate("a.test").is_none());
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("made");
        let text = format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem());
        shelf.keep("a.test", &text).expect("kept");
        shelf.keep("b.test", &text).expect("kept");
        assert!(shelf.certificate("a.test").is_some() && shelf.certificate("b.test").is_none());
        shelf.lock("a.test").expect("made");
        for file in fs::read_dir(&shelf.folder).expect("there").map(|entry| entry.expect("there")) {
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o077, 0, "{file:?}");
        }
        let other = Shelf::open(state.path(), "https://ca.example/dir2").expect("made");
        assert!(other.certificate("a.test").is_none());
    }

    #[test]
    fn urls_become_folders() {
        assert!(folder_name("https://127.0.0.1:14000/dir").starts_with("127.0.0.1_14000_dir-"));
        assert_ne!(folder_name("https://a/b_c"), folder_name("https://a/b/c"));
    }
}
