//! Keys made here and now. What minisign itself makes is tested end to end.

use super::*;
use crate::config::Location;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;

/// A key with its number, as minisign has them.
struct Pair {
    number: [u8; 8],
    key: Ed25519KeyPair,
}

fn pair() -> Pair {
    let mut number = [0; 8];
    aws_lc_rs::rand::fill(&mut number).expect("random");
    Pair { number, key: Ed25519KeyPair::generate().expect("made") }
}

impl Pair {
    fn public(&self) -> String {
        BASE64.encode(&[b"Ed", &self.number[..], self.key.public_key().as_ref()].concat())
    }
}

fn known(name: &str, pair: &Pair) -> SigningKey {
    let at = Location { file: "a.toml".into(), line: 1, column: 1 };
    SigningKey { name: Some(name.to_owned()), kept: KeptKey::Here(pair.public()), at }
}

/// In the older of minisign's formats, which signs the file itself.
fn sign(pair: &Pair, bytes: &[u8]) -> String {
    let comment = "jwt 1.2";
    let signature = pair.key.sign(bytes);
    let both = pair.key.sign(&[signature.as_ref(), comment.as_bytes()].concat());
    let line = BASE64.encode(&[b"Ed", &pair.number[..], signature.as_ref()].concat());
    format!("untrusted comment: any\n{line}\ntrusted comment: {comment}\n{}\n", BASE64.encode(both.as_ref()))
}

#[test]
fn the_right_key_is_found_among_others() {
    let (ours, other) = (pair(), pair());
    let signature = sign(&ours, b"component");
    let signed = verify(b"component", Some(&signature), &[known("other", &other), known("ours", &ours)]).expect("signed");
    assert_eq!(signed, Signed { by: "ours".to_owned(), comment: "jwt 1.2".to_owned() });
}

#[test]
fn what_does_not_fit_is_refused() {
    let (ours, other) = (pair(), pair());
    let (keys, signature) = ([known("ours", &ours)], sign(&ours, b"component"));
    let refused = |bytes: &[u8], text: Option<&str>| verify(bytes, text, &keys).expect_err("refused");
    assert!(matches!(refused(b"another", Some(&signature)), SignatureError::Forged { .. }));
    assert!(matches!(refused(b"component", None), SignatureError::Missing(None)));
    assert!(matches!(refused(b"component", Some("nonsense")), SignatureError::Malformed(_)));
    assert!(matches!(refused(b"component", Some(&sign(&other, b"component"))), SignatureError::OtherKey { .. }));
    // The comment is signed too.
    let altered = signature.replace("jwt 1.2", "jwt 1.3");
    assert_ne!(altered, signature);
    assert!(matches!(refused(b"component", Some(&altered)), SignatureError::Forged { .. }));
}

#[test]
fn a_key_in_a_file_is_read_with_and_without_its_comment() {
    let ours = pair();
    let folder = tempfile::tempdir().expect("a folder");
    let signature = sign(&ours, b"component");
    for text in [format!("untrusted comment: minisign public key\n{}\n", ours.public()), format!("{}\n", ours.public())] {
        let path = folder.path().join("release.pub");
        std::fs::write(&path, text).expect("written");
        let key = SigningKey { name: None, kept: KeptKey::File(path), at: known("", &ours).at };
        verify(b"component", Some(&signature), &[key]).expect("signed");
    }
    let gone = SigningKey { name: None, kept: KeptKey::File(folder.path().join("gone.pub")), at: known("", &ours).at };
    assert!(matches!(verify(b"component", Some(&signature), std::slice::from_ref(&gone)), Err(SignatureError::Key { .. })));
    verify(b"component", Some(&signature), &[gone, known("ours", &ours)]).expect("another key fits");
}
