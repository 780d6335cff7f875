//! Lets in who knows a name and its password: HTTP Basic authentication (RFC 7617).
//!
//! Which hashes of passwords there are stands in `hash`, how users are written in `users`. A password that was right is remembered by this guest, as a
//! digest under a key of its own, so that a hash that is slow on purpose is worked out once and not for each request.
#![cfg_attr(target_family = "wasm", no_std)]

mod hash;
mod users;

use base64ct::{Base64, Encoding};
use core::cell::RefCell;
use hash::Hash;
use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::prelude::*;
use portcullis_sdk::random;
use portcullis_sdk::secret::same;
use sha2::{Digest, Sha256};
use users::Users;

/// Lets in who knows a name and its password.
#[settings]
pub struct Settings {
    /// Names with hashes of their passwords: bcrypt as `htpasswd -B` makes it, or sha256:HEX for secrets that are random.
    #[setting(default)]
    users: Map<String>,
    /// The same as lines of NAME:HASH, for { file = "…" }.
    #[setting(default)]
    htpasswd: String,
    /// What the browser shows.
    #[setting(default = "restricted")]
    realm: String,
    /// A request field that tells the upstream who it is; clients cannot set it.
    header: Option<String>,
    /// Whether the upstream gets the Authorization field.
    #[setting(default = false)]
    forward: bool,
}

pub struct BasicAuth {
    users: Users,
    challenge: Rc<Reply>,
    header: Option<String>,
    forward: bool,
    /// Of this guest.
    key: [u8; 32],
    /// Of each user, the digest of the password that was right; it is there when it was.
    known: RefCell<Vec<Option<[u8; 32]>>>,
}

#[plugin(name = "basic-auth", description = "Lets in who knows a name and its password (RFC 7617)")]
impl BasicAuth {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let users = Users::read(settings.users, &settings.htpasswd, &mut problems);
        let header = settings.header.and_then(|name| header_name(&name).map_err(|why| problems.push(Problem::at("/header", why))).ok());
        let realm = &settings.realm;
        if header_value(realm.as_bytes()).is_err() || realm.contains(['"', '\\']) {
            problems.push(Problem::at("/realm", "has neither quotes nor backslashes nor control characters"));
        }
        if !problems.is_empty() {
            problems.truncate(10);
            return Err(problems);
        }
        let challenge = ["Basic realm=\"", realm, "\", charset=\"UTF-8\""].concat();
        let challenge = Reply::new(401).header("www-authenticate", challenge).text("a name and a password, please\n");
        let mut key = [0; 32];
        key.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random::bits().to_le_bytes()));
        let known = RefCell::new(users.iter().map(|_| None).collect());
        Ok(Self { users, challenge: Rc::new(challenge), header, forward: settings.forward, key, known })
    }

    #[interest(headers = ["authorization"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Rc<Reply>> {
        if let Some(header) = &self.header {
            edit.remove_header(header);
        }
        let given = request.header_str("authorization").and_then(credentials);
        let Some(name) = given.as_deref().and_then(|given| self.admitted(given)) else { return Some(Rc::clone(&self.challenge)) };
        edit.set_attribute("log.user", name);
        if let Some(header) = &self.header {
            edit.set_header(header, name);
        }
        if !self.forward {
            edit.remove_header("authorization");
        }
        None
    }
}

impl BasicAuth {
    /// The user that is let in by `NAME:PASSWORD`.
    fn admitted(&self, given: &str) -> Option<&str> {
        let (name, password) = given.split_once(':')?;
        let Some((index, user)) = self.users.iter().enumerate().find(|(_, user)| user.name == name) else {
            // As much work as for a name that there is, so that names cannot be found out by the clock.
            self.users.slowest().is(password);
            return None;
        };
        let digest = self.digest(password);
        let known = self.known.borrow().get(index).copied().flatten();
        let right = known.is_some_and(|known| same(&known, &digest)) || user.hash.is(password);
        if right && let Some(place) = self.known.borrow_mut().get_mut(index) {
            *place = Some(digest);
        }
        right.then_some(&*user.name)
    }

    fn digest(&self, password: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(password).finalize().into()
    }
}

/// What stands in the field, decoded.
fn credentials(field: &str) -> Option<String> {
    let (scheme, encoded) = field.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| Base64::decode_vec(encoded.trim_start()).ok())??;
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests;
