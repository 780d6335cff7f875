//! What a token is: three parts in base64url, of which the first says how the third signs the first two (RFC 7515, section 7.1).

use base64ct::{Base64UrlUnpadded, Encoding};
use portcullis_sdk::prelude::*;
use serde::Deserialize;

pub struct Token<'t> {
    pub algorithm: String,
    pub kid: Option<String>,
    pub payload: Vec<u8>,
    /// As it was signed.
    pub signed: &'t str,
    pub signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
    /// Whether the payload is encoded (RFC 7797), which is for `crit` to say.
    b64: Option<bool>,
}

impl<'t> Token<'t> {
    pub fn parse(text: &'t str) -> Result<Self, &'static str> {
        let (signed, signature) = text.rsplit_once('.').ok_or("it is no token")?;
        let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or("it is no token")?;
        let decode = |part: &str| Base64UrlUnpadded::decode_vec(part).map_err(|_| "it is no token");
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| "it is no token")?;
        if header.crit.is_some() || header.b64.is_some() {
            return Err("it wants something understood that is not");
        }
        Ok(Self { algorithm: header.alg, kid: header.kid, payload: decode(payload)?, signed, signature: decode(signature)? })
    }
}
