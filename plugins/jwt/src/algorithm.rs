//! Kinds of signatures (RFC 7518, section 3.1; RFC 8037). There is no `none`.

use portcullis_sdk::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// PKCS #1 v1.5.
    Rs(Hash),
    Ps(Hash),
    Hs(Hash),
    Es256,
    EdDsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

use Hash::{Sha256, Sha384, Sha512};

const NAMES: [(&str, Algorithm); 11] = [
    ("RS256", Algorithm::Rs(Sha256)),
    ("RS384", Algorithm::Rs(Sha384)),
    ("RS512", Algorithm::Rs(Sha512)),
    ("PS256", Algorithm::Ps(Sha256)),
    ("PS384", Algorithm::Ps(Sha384)),
    ("PS512", Algorithm::Ps(Sha512)),
    ("ES256", Algorithm::Es256),
    ("EdDSA", Algorithm::EdDsa),
    ("HS256", Algorithm::Hs(Sha256)),
    ("HS384", Algorithm::Hs(Sha384)),
    ("HS512", Algorithm::Hs(Sha512)),
];

impl Algorithm {
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Whether one secret both signs and verifies.
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Hs(_))
    }
}

/// Those that are taken.
pub fn read(written: &OneOrMany<String>, has_secret: bool, problems: &mut Vec<Problem>) -> Vec<Algorithm> {
    if written.is_empty() {
        let usual = NAMES.iter().map(|(_, algorithm)| *algorithm);
        return if has_secret { Vec::from([Algorithm::Hs(Sha256)]) } else { usual.filter(|algorithm| !algorithm.is_shared()).collect() };
    }
    let mut taken = Vec::new();
    for (index, name) in written.iter().enumerate() {
        let at = written.pointer(&Pointer::root().key("algorithms"), index);
        match Algorithm::named(name) {
            Some(algorithm) if algorithm.is_shared() && !has_secret => problems.push(Problem::at(at, "needs `secret`")),
            Some(algorithm) => taken.push(algorithm),
            None if name.eq_ignore_ascii_case("none") => problems.push(Problem::at(at, "anybody can make a token without a signature")),
            None => {
                let known = NAMES.map(|(name, _)| name).join(", ");
                problems.push(Problem::at(at, ["there are ", &known].concat()));
            }
        }
    }
    taken
}
