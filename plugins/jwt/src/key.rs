//! One key, and whether a signature is its. A key is of one kind, and only signatures of that kind are tried with it: so nobody can have a public key taken for a
//! shared secret.

use crate::algorithm::{Algorithm, Hash};
use crate::rsa::RsaKey;
use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::VerifyingKey as EdKey;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::{EncodedPoint, FieldBytes};
use portcullis_sdk::prelude::*;
use serde::Deserialize;

pub struct Key {
    pub kid: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
    material: Material,
}

enum Material {
    Rsa(RsaKey),
    P256(VerifyingKey),
    Ed25519(EdKey),
    Secret(Vec<u8>),
}

/// RFC 7517, section 4; what is not for us is left out.
#[derive(Deserialize)]
pub struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    pub fn secret(bytes: &[u8]) -> Self {
        Self { kid: None, algorithm: None, material: Material::Secret(bytes.to_vec()) }
    }

    /// `None`: not for verifying signatures, or of a kind that is not known here. A shared secret does not stand in a set of public keys.
    pub fn of(jwk: Jwk) -> Option<Self> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return None;
        }
        let part = |part: &Option<String>| Base64UrlUnpadded::decode_vec(part.as_deref()?.trim_end_matches('=')).ok();
        let material = match (&*jwk.kty, jwk.crv.as_deref()) {
            ("RSA", _) => Material::Rsa(RsaKey::new(&part(&jwk.n)?, &part(&jwk.e)?)?),
            ("EC", Some("P-256")) => {
                let (x, y): ([u8; 32], [u8; 32]) = (part(&jwk.x)?.try_into().ok()?, part(&jwk.y)?.try_into().ok()?);
                let point = EncodedPoint::from_affine_coordinates(&FieldBytes::from(x), &FieldBytes::from(y), false);
                Material::P256(VerifyingKey::from_encoded_point(&point).ok()?)
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(EdKey::from_bytes(&part(&jwk.x)?.try_into().ok()?).ok()?),
            _ => return None,
        };
        Some(Self { kid: jwk.kid, algorithm: jwk.alg, material })
    }

    /// `None`: signatures of this kind are not its business.
    pub fn verifies(&self, algorithm: Algorithm, name: &str, signed: &[u8], signature: &[u8]) -> Option<bool> {
        if self.algorithm.as_deref().is_some_and(|own| own != name) {
            return None;
        }
        Some(match (&self.material, algorithm) {
            (Material::Rsa(key), Algorithm::Rs(hash)) => key.verifies_pkcs1(hash, signed, signature),
            (Material::Rsa(key), Algorithm::Ps(hash)) => key.verifies_pss(hash, signed, signature),
            (Material::P256(key), Algorithm::Es256) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(signed, &signature).is_ok())
            }
            (Material::Ed25519(key), Algorithm::EdDsa) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok())
            }
            (Material::Secret(secret), Algorithm::Hs(Hash::Sha256)) => is_mac::<Hmac<sha2::Sha256>>(secret, signed, signature),
            (Material::Secret(secret), Algorithm::Hs(Hash::Sha384)) => is_mac::<Hmac<sha2::Sha384>>(secret, signed, signature),
            (Material::Secret(secret), Algorithm::Hs(Hash::Sha512)) => is_mac::<Hmac<sha2::Sha512>>(secret, signed, signature),
            _ => return None,
        })
    }
}

/// Compared in constant time.
fn is_mac<M: Mac + hmac::digest::KeyInit>(secret: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    <M as Mac>::new_from_slice(secret).is_ok_and(|mac| mac.chain_update(signed).verify_slice(signature).is_ok())
}
