//! Keys, as a JWKS has them (RFC 7517, section 5).

use crate::algorithm::Algorithm;
use crate::key::{Jwk, Key};
use crate::token::Token;
use portcullis_sdk::prelude::*;
use serde::Deserialize;

#[derive(Default)]
pub struct Keyset(Vec<Key>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// Of a token that does not say which key is its: more are not tried.
const TRIED: usize = 8;

impl Keyset {
    /// Keys that are not for us, or broken, are passed over, as section 5 has it.
    pub fn parse(json: &[u8]) -> Result<Self, &'static str> {
        let document: Document = serde_json::from_slice(json).map_err(|_| "{ \"keys\": [ … ] } is wanted")?;
        let keys = document.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self(keys.filter_map(Key::of).collect()))
    }

    pub fn add_secret(&mut self, secret: &[u8]) {
        self.0.push(Key::secret(secret));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None`: no key here could have signed it.
    pub fn verifies(&self, algorithm: Algorithm, kid: Option<&str>, token: &Token) -> Option<bool> {
        let may_be = |key: &&Key| match (kid, key.kid.as_deref()) {
            (Some(kid), Some(own)) => kid == own,
            _ => true,
        };
        let tried = self.0.iter().filter(may_be);
        let tried =
            tried.filter_map(|key| key.verifies(algorithm, &token.algorithm, token.signed.as_bytes(), &token.signature)).take(TRIED);
        tried.fold(None, |right, one| Some(right == Some(true) || one))
    }
}
