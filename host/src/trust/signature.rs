//! Detached signatures in minisign's format: ed25519 over the file's BLAKE2b hash (`ED`, what `minisign -S` makes today) or over the file itself
//! (`Ed`, what older ones and OpenBSD's signify-like tools make), with a comment that is signed too.

use crate::config::{KeptKey, SigningKey};
use minisign_verify::{Error, PublicKey, Signature};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A signature has four lines; more than this is none.
const LARGEST: u64 = 16 << 10;

/// Who signed, and what they say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key, as the configuration calls it.
    pub by: String,
    /// The comment that the signature covers, without what could drive a terminal.
    pub comment: String,
}

/// Why a plugin does not count as signed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("has no signature{}", .0.as_ref().map(|path| format!(": {} is not there", path.display())).unwrap_or_default())]
    Missing(Option<PathBuf>),
    #[error("has a signature that cannot be read: {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("has a signature that is not in minisign's format: {0}")]
    Malformed(Error),
    #[error("cannot be checked: the key {key} cannot be read: {why}")]
    Key { key: String, why: String },
    #[error("is signed with another key than {keys}")]
    OtherKey { keys: String },
    #[error("is not what {key} signed: the signature does not fit the file")]
    Forged { key: String },
}

/// Where the signature of a file is, unless somebody says otherwise.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// The signature's text.
pub fn read(path: &Path) -> Result<String, SignatureError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SignatureError::Missing(Some(path.to_owned()))),
        Err(source) => Err(SignatureError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Whether one of `keys` signed these bytes. `text` is the signature; `None` if there is none. A file of a key that cannot be read counts
/// against the plugin only if no other key fits.
pub fn verify(bytes: &[u8], text: Option<&str>, keys: &[SigningKey]) -> Result<Signed, SignatureError> {
    let signature = Signature::decode(text.ok_or(SignatureError::Missing(None))?).map_err(SignatureError::Malformed)?;
    let mut unread = None;
    for key in keys {
        let public = match public(&key.kept) {
            Ok(public) => public,
            Err(why) => {
                unread = unread.or(Some(SignatureError::Key { key: key.to_string(), why }));
                continue;
            }
        };
        match public.verify(bytes, &signature, true) {
            Ok(()) => return Ok(Signed { by: key.to_string(), comment: tidy(signature.trusted_comment()) }),
            Err(Error::UnexpectedKeyId) => {}
            Err(_) => return Err(SignatureError::Forged { key: key.to_string() }),
        }
    }
    let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(unread.unwrap_or(SignatureError::OtherKey { keys }))
}

/// What a signature claims, without knowing whose keys to believe.
pub fn glance(text: &str) -> Result<String, SignatureError> {
    Signature::decode(text).map(|signature| tidy(signature.trusted_comment())).map_err(SignatureError::Malformed)
}

fn public(kept: &KeptKey) -> Result<PublicKey, String> {
    match kept {
        KeptKey::Here(key) => PublicKey::from_base64(key).map_err(|error| error.to_string()),
        KeptKey::File(path) => {
            let mut text = String::new();
            let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
            read.map_err(|error| error.to_string())?;
            // With its comment, as it is made, or the key alone.
            PublicKey::decode(&text).or_else(|_| PublicKey::from_base64(text.trim())).map_err(|_| "it is no minisign public key".to_owned())
        }
    }
}

fn tidy(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
}

#[cfg(test)]
mod tests;
