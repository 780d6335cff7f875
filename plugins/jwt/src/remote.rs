//! Keys that an upstream serves and may change. The document is in the store of this process, so all guests together ask once; each guest keeps the keys that it
//! made of it. A server that is away or slow leaves the last keys in use.

use crate::Refusal;
use crate::algorithm::Algorithm;
use crate::keyset::Keyset;
use crate::token::Token;
use core::cell::RefCell;
use core::time::Duration;
use portcullis_sdk::kv::Store;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{clock, duration, http, log};

/// Where a JWKS is served.
#[settings]
pub struct Jwks {
    /// The upstream.
    upstream: Upstream,
    #[setting(default = "/.well-known/jwks.json")]
    path: String,
    /// What the server gets as Host; the upstream's name unless written.
    #[setting(default)]
    host: String,
    /// How old keys may be before they are asked for anew. A token with an unknown key has them asked for at once.
    #[setting(default = "10m")]
    refresh: String,
    /// How old they may get when the server does not answer.
    #[setting(default = "24h")]
    keep: String,
    /// How long the server may take.
    #[setting(default = "1s")]
    timeout: String,
}

pub struct Remote {
    upstream: Upstream,
    path: String,
    host: String,
    refresh: u64,
    keep: u64,
    timeout: Duration,
    /// Keys of the store: the document, and whether it was asked for just now.
    document: String,
    asked: String,
    held: RefCell<Held>,
}

/// What this guest has.
#[derive(Default)]
struct Held {
    keys: Keyset,
    /// Seconds since 1970; 0: there is nothing.
    of: u64,
}

/// The store of this process, which the proxy grants its own plugins.
const LOCAL: Store<'_> = Store::named("(local)");

/// How often the server is asked at most, whatever tokens name: they come from anybody.
pub const PAUSE: Duration = Duration::from_secs(5);

impl Remote {
    pub fn of(settings: Jwks, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut time = |key: &str, text: &str| match duration::parse(text) {
            Ok(time) if !time.is_zero() => Some(time),
            Ok(_) => {
                problems.push(Problem::at(at.key(key), "takes some time"));
                None
            }
            Err(why) => {
                problems.push(Problem::at(at.key(key), why));
                None
            }
        };
        let (refresh, keep, timeout) =
            (time("refresh", &settings.refresh), time("keep", &settings.keep), time("timeout", &settings.timeout));
        if !settings.path.starts_with('/') {
            problems.push(Problem::at(at.key("path"), "a path begins with `/`"));
            return None;
        }
        let place = ["|", &settings.upstream, "|", &settings.host, "|", &settings.path].concat();
        Some(Self {
            document: ["jwks", &place].concat(),
            asked: ["jwks-asked", &place].concat(),
            upstream: settings.upstream,
            path: settings.path,
            host: settings.host,
            refresh: refresh?.as_secs(),
            keep: keep?.as_secs(),
            timeout: timeout?,
            held: RefCell::default(),
        })
    }

    /// `None`: no key could have signed it, and the server has no other.
    pub fn verifies(&self, algorithm: Algorithm, kid: Option<&str>, token: &Token) -> Result<Option<bool>, Refusal> {
        let now = clock::now().as_secs();
        let verified = |held: &RefCell<Held>| held.borrow().keys.verifies(algorithm, kid, token);
        let mut right = verified(&self.held);
        let fresh = |held: &RefCell<Held>| held.borrow().is_of(now, self.refresh);
        if right.is_none() || !fresh(&self.held) {
            self.share(now);
            right = verified(&self.held);
        }
        if (right.is_none() || !fresh(&self.held)) && self.may_ask() {
            self.fetch(now);
            right = verified(&self.held);
        }
        if self.held.borrow().is_of(now, self.keep) { Ok(right) } else { Err(Refusal::NoKeys) }
    }

    /// Takes what another guest has fetched, if it is newer.
    fn share(&self, now: u64) {
        let Ok(Some(shared)) = LOCAL.get(&self.document) else { return };
        let Some((time, json)) = shared.split_first_chunk::<8>() else { return };
        let of = u64::from_be_bytes(*time);
        // Not from what would be the future, should the clock have been set back.
        if of > self.held.borrow().of && of <= now {
            self.hold(of, json);
        }
    }

    /// Whoever has nothing at all must; of the others one at a time.
    fn may_ask(&self) -> bool {
        let first = LOCAL.add(&self.asked, 1, Some(PAUSE)).is_ok_and(|times| times == 1);
        first || self.held.borrow().of == 0
    }

    fn fetch(&self, now: u64) {
        let request = http::Request::get(&self.upstream, &self.path).header("accept", "application/json").timeout(self.timeout);
        let request = if self.host.is_empty() { request } else { request.authority(&self.host) };
        let answer = match request.send() {
            Ok(answer) if answer.status() == 200 => answer.into_body(),
            Ok(answer) => return self.complain(&["status ", &answer.status().to_string()].concat()),
            Err(error) => return self.complain(&error.to_string()),
        };
        match self.hold(now, &answer) {
            // One that does not fit the store is fetched by each guest for itself.
            true => drop(LOCAL.set(&self.document, [&now.to_be_bytes()[..], &answer].concat(), None)),
            false => self.complain("what came is no JWKS with a key"),
        }
    }

    fn hold(&self, of: u64, json: &[u8]) -> bool {
        let keys = Keyset::parse(json).unwrap_or_default();
        if keys.is_empty() {
            return false;
        }
        *self.held.borrow_mut() = Held { keys, of };
        true
    }

    #[cold]
    fn complain(&self, why: &str) {
        let still = if self.held.borrow().of == 0 { "" } else { "; the last ones stay in use" };
        log::line(log::Level::Warn, &["no keys from upstream `", &self.upstream, "`: ", why, still].concat());
    }
}

impl Held {
    const fn is_of(&self, now: u64, seconds: u64) -> bool {
        self.of != 0 && now < self.of.saturating_add(seconds)
    }
}
