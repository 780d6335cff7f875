//! Lets in who has a token that somebody trusted has signed: JWT (RFC 7519) as bearer token (RFC 6750).
//!
//! In reading order: `place` (where the token is), `token` (what it is), `algorithm`, `key` and `rsa` (whether its signature is right), `keyset` and `remote`
//! (whose keys), `claims` (what it must say). What was verified is remembered by this guest for a minute at most.
#![cfg_attr(target_family = "wasm", no_std)]

mod algorithm;
mod claims;
mod key;
mod keyset;
mod place;
mod remote;
mod rsa;
mod token;

use algorithm::Algorithm;
use alloc::collections::BTreeMap;
use claims::{Claims, Demands};
use core::cell::RefCell;
use keyset::Keyset;
use place::Place;
use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::prelude::*;
use portcullis_sdk::{clock, duration};
use remote::{Jwks, Remote};
use sha2::{Digest, Sha256};
use token::Token;

extern crate alloc;

/// Lets in who has a signed token.
#[settings]
pub struct Settings {
    /// Where keys come from that may change: an upstream that serves a JWKS.
    jwks: Option<Jwks>,
    /// A JWKS itself, for { file = "…" }.
    #[setting(default)]
    keys: String,
    /// The secret of HS256, HS384 and HS512, at least 32 bytes; { env = "…" } or { file = "…" }.
    #[setting(default)]
    secret: String,
    /// Which signatures are taken; unless written, RS256, RS384, RS512, PS256, PS384, PS512, ES256 and EdDSA, or with `secret` HS256 alone.
    #[setting(default)]
    algorithms: OneOrMany<String>,
    /// Who must have issued the token (iss): one of these.
    #[setting(default)]
    issuer: OneOrMany<String>,
    /// For whom it must be (aud): one of these.
    #[setting(default)]
    audience: OneOrMany<String>,
    /// What clocks may differ by.
    #[setting(default = "30s")]
    leeway: String,
    /// What other claims must say: a text, or one of several; of claims that are lists, and of `scope`, one member.
    #[setting(default)]
    require: Map<OneOrMany<String>>,
    /// Where the token is: header:NAME, cookie:NAME, query:NAME; the first that is there.
    #[setting(default)]
    from: OneOrMany<String>,
    /// Request fields that tell the upstream claims: { x-user = "sub", x-roles = "realm_access.roles" }. Clients cannot set them.
    #[setting(default)]
    claims: Map<String>,
    /// Whether requests without a token go on, with no claims. One that is wrong is refused all the same.
    #[setting(default = false)]
    optional: bool,
    /// Whether the upstream gets the token.
    #[setting(default = true)]
    forward: bool,
    #[setting(default = "api")]
    realm: String,
}

pub struct Jwt {
    places: Vec<Place>,
    algorithms: Vec<Algorithm>,
    fixed: Keyset,
    remote: Option<Remote>,
    demands: Demands,
    /// Request fields, and the ways to their claims.
    told: Vec<(String, String)>,
    optional: bool,
    forward: bool,
    realm: String,
    warnings: Vec<Problem>,
    known: RefCell<BTreeMap<[u8; 32], Known>>,
}

/// A token whose signature was right.
struct Known {
    claims: Rc<Claims>,
    /// Seconds since 1970.
    until: u64,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// There is no token.
    Absent,
    Invalid(&'static str),
    /// The token is right, and not enough.
    Insufficient,
    /// There are no keys to verify it with.
    NoKeys,
}

/// So long a key that was withdrawn goes on being trusted, at most.
const KNOWN: u64 = 60;

/// Some hundred bytes each; when there are more, all are forgotten.
const MOST_KNOWN: usize = 1_000;

#[plugin(name = "jwt", description = "Lets in who has a signed token (JWT, RFC 7519)")]
impl Jwt {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, root) = (Vec::new(), Pointer::root());
        let mut fixed = Keyset::default();
        if !settings.keys.is_empty() {
            match Keyset::parse(settings.keys.as_bytes()) {
                Ok(keys) if keys.is_empty() => problems.push(Problem::at("/keys", "has no key that signatures could be verified with")),
                Ok(keys) => fixed = keys,
                Err(why) => problems.push(Problem::at("/keys", ["is no JWKS: ", why].concat())),
            }
        }
        if !settings.secret.is_empty() {
            if settings.secret.len() < 32 {
                problems.push(Problem::at("/secret", "has fewer than 32 bytes, which can be guessed from one token"));
            }
            fixed.add_secret(settings.secret.as_bytes());
        }
        if settings.jwks.is_none() && settings.keys.is_empty() && settings.secret.is_empty() {
            problems.push(Problem::at("", "no token could be verified: needs `jwks`, `keys` or `secret`"));
        }
        let algorithms = algorithm::read(&settings.algorithms, !settings.secret.is_empty(), &mut problems);
        let remote = settings.jwks.and_then(|jwks| Remote::of(jwks, &root.key("jwks"), &mut problems));
        let mut places = Vec::new();
        for (index, text) in settings.from.iter().enumerate() {
            let at = settings.from.pointer(&root.key("from"), index);
            places.extend(Place::parse(text).map_err(|why| problems.push(Problem::at(at, why))).ok());
        }
        if settings.from.is_empty() {
            places.push(Place::BEARER);
        }
        let mut told = Vec::new();
        for (name, claim) in settings.claims {
            let at = root.key("claims").key(&name);
            told.extend(header_name(&name).map_err(|why| problems.push(Problem::at(at, why))).ok().map(|name| (name, claim)));
        }
        let leeway = duration::parse(&settings.leeway).map_err(|why| problems.push(Problem::at("/leeway", why))).unwrap_or_default();
        if header_value(settings.realm.as_bytes()).is_err() || settings.realm.contains(['"', '\\']) {
            problems.push(Problem::at("/realm", "has neither quotes nor backslashes nor control characters"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut warnings = Vec::new();
        if settings.issuer.is_empty() && settings.audience.is_empty() {
            warnings
                .push(Problem::at("", "neither `issuer` nor `audience`: any token that these keys have signed is taken, also for others"));
        }
        Ok(Self {
            places,
            algorithms,
            fixed,
            remote,
            demands: Demands::of(settings.issuer, settings.audience, leeway.as_secs(), settings.require),
            told,
            optional: settings.optional,
            forward: settings.forward,
            realm: settings.realm,
            warnings,
            known: RefCell::default(),
        })
    }

    fn plan(&self, plan: &mut Plan) {
        for warning in &self.warnings {
            plan.warn(warning.path.clone(), warning.message.clone());
        }
        for place in &self.places {
            place.ask(plan.request());
        }
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        for (header, _) in &self.told {
            edit.remove_header(header);
        }
        let found = self.places.iter().find_map(|place| Some((place, place.find(request)?)));
        let claims = match found {
            None if self.optional => return None,
            None => return Some(self.refuse(Refusal::Absent)),
            Some((_, ref token)) => match self.verify(token) {
                Ok(claims) => claims,
                Err(refusal) => return Some(self.refuse(refusal)),
            },
        };
        for (header, claim) in &self.told {
            if let Some(value) = claims.shown(claim) {
                edit.set_header(header, value);
            }
        }
        if let Some(subject) = claims.shown("sub") {
            edit.set_attribute("log.sub", subject);
        }
        if let (false, Some((place, _))) = (self.forward, &found) {
            place.remove(request, edit);
        }
        None
    }
}

impl Jwt {
    fn verify(&self, text: &str) -> Result<Rc<Claims>, Refusal> {
        let now = clock::now().as_secs();
        let digest: [u8; 32] = Sha256::digest(text).into();
        let known = self.known.borrow().get(&digest).filter(|known| known.until > now).map(|known| Rc::clone(&known.claims));
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = Rc::new(self.read(text)?);
                self.remember(digest, Known { claims: Rc::clone(&claims), until: now + KNOWN });
                claims
            }
        };
        // Times pass while a token is known.
        self.demands.check(&claims, now)?;
        Ok(claims)
    }

    /// The claims of a token with a right signature.
    fn read(&self, text: &str) -> Result<Claims, Refusal> {
        let token = Token::parse(text).map_err(Refusal::Invalid)?;
        let algorithm = Algorithm::named(&token.algorithm).filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(Refusal::Invalid("its signature is of a kind that is not taken here"))?;
        let kid = token.kid.as_deref();
        let right = self.fixed.verifies(algorithm, kid, &token);
        let right = match (&self.remote, right) {
            (Some(remote), Some(false) | None) => remote.verifies(algorithm, kid, &token)?.or(right),
            _ => right,
        };
        match right {
            Some(true) => Claims::parse(&token.payload).map_err(Refusal::Invalid),
            Some(false) => Err(Refusal::Invalid("its signature is wrong")),
            None => Err(Refusal::Invalid("it was signed with a key that is not known")),
        }
    }

    fn remember(&self, digest: [u8; 32], known: Known) {
        let mut all = self.known.borrow_mut();
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(digest, known);
    }

    /// RFC 6750, section 3.
    fn refuse(&self, refusal: Refusal) -> Reply {
        let (status, error, why) = match refusal {
            Refusal::Absent => (401, "", ""),
            Refusal::Invalid(why) => (401, "invalid_token", why),
            Refusal::Insufficient => (403, "insufficient_scope", "it does not say what it must"),
            Refusal::NoKeys => return Reply::new(503).header("retry-after", "5").text("tokens cannot be verified at the moment\n"),
        };
        let mut challenge = ["Bearer realm=\"", &self.realm, "\""].concat();
        if !error.is_empty() {
            challenge = [&challenge, ", error=\"", error, "\", error_description=\"", why, "\""].concat();
        }
        let text = if why.is_empty() { "a token, please\n".to_owned() } else { ["not with this token: ", why, "\n"].concat() };
        Reply::new(status).header("www-authenticate", challenge).text(text)
    }
}

#[cfg(test)]
mod tests;
