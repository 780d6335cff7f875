//! Hashes of passwords. A guest has some milliseconds and shares its core, so a hash is as slow as that allows and no slower: bcrypt up to a cost of 8.
//! argon2 and scrypt want megabytes for each attempt, which a guest does not have.

use portcullis_sdk::prelude::*;
use portcullis_sdk::secret::same;
use sha2::{Digest, Sha256};

pub enum Hash {
    /// As written.
    Bcrypt { text: String, cost: u32 },
    /// Of a secret that is random; of a password it would be found in no time.
    Sha256([u8; 32]),
}

/// 25 ms or so in the sandbox; each step doubles it.
const MOST: u32 = 8;

impl Hash {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(digits) = text.strip_prefix("sha256:") {
            return hex(digits).map(Self::Sha256).ok_or("`sha256:` is followed by 64 hexadecimal digits");
        }
        let bcrypt = ["$2y$", "$2b$", "$2a$"].iter().find_map(|version| text.strip_prefix(version));
        let Some(rest) = bcrypt else { return Err(other(text)) };
        let cost = rest.split('$').next().and_then(|cost| cost.parse().ok());
        match cost {
            Some(cost) if cost > MOST => {
                Err("costs too much: each wrong password would hold up a worker; 8 is the most, as in htpasswd -B -C 8")
            }
            Some(cost) if is_whole(rest) => Ok(Self::Bcrypt { text: text.to_owned(), cost }),
            _ => Err("is no whole bcrypt hash"),
        }
    }

    pub fn is(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
            Self::Sha256(digest) => same(&Sha256::digest(password), digest),
        }
    }

    pub const fn cost(&self) -> u32 {
        match self {
            Self::Bcrypt { cost, .. } => *cost,
            Self::Sha256(_) => 0,
        }
    }
}

/// Behind the version: two digits of cost, and 53 of bcrypt's own base 64.
fn is_whole(rest: &str) -> bool {
    let (cost, digits) = rest.split_once('$').unwrap_or_default();
    cost.len() == 2
        && ("04".."99").contains(&cost)
        && digits.len() == 53
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
}

/// What else passwords are kept as, and why not here.
fn other(text: &str) -> &'static str {
    match text {
        _ if text.starts_with("$apr1$") || text.starts_with("$1$") => "MD5 is no protection any more; htpasswd -B makes bcrypt",
        _ if text.starts_with("{SHA}") => "SHA-1 without salt is no protection; htpasswd -B makes bcrypt",
        _ if text.starts_with("$argon2") || text.starts_with("$scrypt") || text.starts_with("$7$") => {
            "wants more memory for each attempt than a plugin has; htpasswd -B makes bcrypt"
        }
        _ if text.starts_with("$5$") || text.starts_with("$6$") || text.starts_with("$y$") => {
            "this hash is not known here; htpasswd -B makes bcrypt"
        }
        _ => "a hash is bcrypt as htpasswd -B makes it, or sha256:HEX of a random secret; a password itself is never written",
    }
}

fn hex(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}
