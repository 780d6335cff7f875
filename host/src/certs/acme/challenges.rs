//! What a CA asks for to see that a name is ours, for as long as an order is under way. The listeners look here.

use super::Presented;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The ALPN protocol of a CA that looks (RFC 8737, section 6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is shown at the moment.
#[derive(Default)]
pub struct Challenges {
    /// How many; so that looking costs next to nothing while there are none.
    count: AtomicUsize,
    /// Key authorizations by token.
    files: RwLock<HashMap<String, String>>,
    /// Certificates by name.
    handshakes: RwLock<HashMap<String, Presented>>,
}

/// Shows something until it is dropped.
pub(super) struct Shown {
    challenges: Arc<Challenges>,
    what: What,
}

enum What {
    File(String),
    Handshake(String),
}

impl Challenges {
    /// Where a CA looks for a file (RFC 8555, section 8.3); the token follows.
    pub const PATH: &str = "/.well-known/acme-challenge/";

    /// The file of this token, if an order is under way that shows it.
    pub fn file(&self, token: &str) -> Option<String> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// The certificate to present to a CA that looks for `name`.
    pub(in crate::certs) fn handshake(&self, name: &str) -> Option<Presented> {
        self.handshakes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn show_file(self: &Arc<Self>, token: &str, contents: &str) -> Shown {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), contents.to_owned());
        self.shown(What::File(token.to_owned()))
    }

    /// `digest`: the SHA-256 of the key authorization.
    pub(super) fn show_handshake(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Shown, rcgen::Error> {
        let presented = proof(name, digest)?;
        self.handshakes.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), presented);
        Ok(self.shown(What::Handshake(name.to_owned())))
    }

    fn shown(self: &Arc<Self>, what: What) -> Shown {
        self.count.fetch_add(1, Ordering::Release);
        Shown { challenges: self.clone(), what }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Challenges { count, files, handshakes } = &*self.challenges;
        match &self.what {
            What::File(token) => drop(files.write().unwrap_or_else(PoisonError::into_inner).remove(token)),
            What::Handshake(name) => drop(handshakes.write().unwrap_or_else(PoisonError::into_inner).remove(name)),
        }
        count.fetch_sub(1, Ordering::Release);
    }
}

/// A self-signed certificate that carries the digest (RFC 8737, section 3).
fn proof(name: &str, digest: &[u8]) -> Result<Presented, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    let signer = default_provider().key_provider.load_private_key(der).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    // Not by `from_der`, which compares the halves and for that reads the certificate: the digest is in a critical extension that it
    // does not know.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_ends_with_its_order() {
        let challenges = Arc::new(Challenges::default());
        let file = challenges.show_file("t", "t.thumb");
        let handshake = challenges.show_handshake("a.test", &[7; 32]).expect("made");
        assert_eq!(challenges.file("t").as_deref(), Some("t.thumb"));
        assert!(challenges.file("u").is_none() && challenges.handshake("a.test").is_some());
        drop((file, handshake));
        assert!(challenges.file("t").is_none() && challenges.handshake("a.test").is_none());
    }
}
