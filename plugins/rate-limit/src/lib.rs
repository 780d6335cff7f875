//! Limits how many requests of a kind are let through: the generic cell rate algorithm, counted in this process or in a store that several
//! proxies share.
//!
//! What "of a kind" means stands in `key`, how a rate is written in `rate`. A store that does not answer is no reason to refuse anybody: this
//! process then counts by itself.
#![cfg_attr(target_family = "wasm", no_std)]

mod key;
mod rate;

use core::time::Duration;
use key::Key;
use portcullis_sdk::kv::{self, Store, Taken};
use portcullis_sdk::prelude::*;
use portcullis_sdk::{log, metrics};
use rate::Rate;

/// Limits how many requests of a kind are let through.
#[settings]
pub struct Settings {
    /// How many requests in which time: a number, `/`, and s, m, h or d.
    rate: String,
    /// How many may come at once; the number in `rate` unless written.
    #[setting(min = 1)]
    burst: Option<u32>,
    /// What is counted together: client.ip, site, route, method, host, path, header:NAME, cookie:NAME, query:NAME, attribute:NAME, or a list of these; "all" for
    /// everything.
    key: Option<OneOrMany<String>>,
    /// A store of [kv] that counts for all proxies that share it; this process counts by itself unless written.
    store: Option<StoreName>,
    /// What clients, logs and metrics call the limit. Limits that differ in it are counted apart.
    #[setting(default = "default")]
    name: String,
    /// Which answers tell the client of the limit (RateLimit and RateLimit-Policy).
    #[setting(default)]
    fields: Told,
    /// With what requests are refused.
    #[setting(default = 429, min = 400, max = 599)]
    status: u16,
    /// What refused ones are told.
    #[setting(default = "too many requests\n")]
    body: String,
}

#[settings]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    #[default]
    Refused,
    Always,
    Never,
}

pub struct RateLimit {
    rate: Rate,
    burst: u32,
    key: Key,
    store: Option<Shared>,
    name: String,
    told: Told,
    policy: String,
    status: u16,
    body: String,
    /// Carries what the response is to tell from one phase to the other.
    attribute: String,
}

/// A store of `[kv]`, and under which keys the local one says how it is.
struct Shared {
    name: StoreName,
    away: String,
    mentioned: String,
}

/// The store of this process, which the proxy grants its own plugins.
const LOCAL: Store<'_> = Store::named("(local)");

/// How long a store that did not answer is left alone: a request that waits for its timeout is late enough.
const AWAY: Duration = Duration::from_secs(2);

/// How often the log is told of the same trouble.
const MENTIONED: Duration = Duration::from_secs(60);

#[plugin(name = "rate-limit", description = "Limits how many requests of a kind are let through")]
impl RateLimit {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let rate = Rate::parse(&settings.rate).map_err(|why| problems.push(Problem::at("/rate", why))).ok();
        let written = settings.key.unwrap_or_else(|| OneOrMany::one("client.ip".to_owned()));
        let sound = !settings.name.is_empty() && settings.name.len() <= 60 && settings.name.bytes().all(is_plain);
        if !sound {
            problems.push(Problem::at("/name", "a limit's name has 1 to 60 letters, digits, `-`, `_` and `.`"));
        }
        let key = Key::parse(&written, &mut problems);
        let (Some(rate), true) = (rate, problems.is_empty()) else { return Err(problems) };
        let burst = settings.burst.unwrap_or(rate.count);
        if !rate.fits(burst) {
            return Err(vec![Problem::at("/burst", "so many take more than a year to come back at this rate")]);
        }
        let counted = [&settings.name, "|", &settings.rate, "|", &digits(burst), "|"].concat();
        let shared = |name: StoreName| Shared { away: ["away|", &name].concat(), mentioned: ["mentioned|", &name].concat(), name };
        Ok(Self {
            policy: ["\"", &settings.name, "\";q=", &digits(rate.count), ";w=", &digits(rate.seconds)].concat(),
            attribute: ["rate-limit.", &settings.name].concat(),
            key: key.under(&counted),
            rate,
            burst,
            store: settings.store.map(shared),
            name: settings.name,
            told: settings.fields,
            status: settings.status,
            body: settings.body,
        })
    }

    fn plan(&self, plan: &mut Plan) {
        self.key.ask(plan.request());
        if self.told == Told::Always {
            plan.response().attribute(self.attribute.clone());
        } else {
            plan.skip_response();
        }
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        let taken = self.take(&self.key.of(request))?;
        if taken.admitted {
            if self.told == Told::Always {
                edit.set_attribute(&self.attribute, self.state(&taken));
            }
            return None;
        }
        metrics::count("refused", &[("limit", &self.name)], 1);
        let reply = Reply::new(self.status).header("retry-after", digits(seconds(taken.retry).max(1)));
        let reply = match self.told {
            Told::Never => reply,
            Told::Refused | Told::Always => reply.header("ratelimit-policy", self.policy.clone()).header("ratelimit", self.state(&taken)),
        };
        Some(reply.text(self.body.clone()))
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        if let Some(state) = response.attribute(&self.attribute) {
            edit.append_header("ratelimit-policy", &self.policy);
            edit.append_header("ratelimit", state);
        }
    }
}

impl RateLimit {
    /// `None`: nobody can count now, and so nobody is refused.
    fn take(&self, key: &str) -> Option<Taken> {
        let from = |store: Store<'_>| store.take(key, 1, self.burst, self.rate.interval);
        if let Some(shared) = self.store.as_ref().filter(|shared| shared.is_there()) {
            match from(Store::named(&shared.name)) {
                Ok(taken) => return Some(taken),
                Err(error) => shared.goes_away(&error),
            }
        }
        if let Some(shared) = &self.store {
            metrics::count("fallback", &[("limit", &self.name), ("store", &shared.name)], 1);
        }
        from(LOCAL).map_err(|error| self.uncounted(&error)).ok()
    }

    /// The `RateLimit` field.
    fn state(&self, taken: &Taken) -> String {
        ["\"", &self.name, "\";r=", &digits(taken.left), ";t=", &digits(seconds(taken.full))].concat()
    }

    #[cold]
    fn uncounted(&self, error: &kv::Error) {
        metrics::count("uncounted", &[("limit", &self.name)], 1);
        // The local store may be what is full.
        if LOCAL.add("mentioned|(local)", 1, Some(MENTIONED)).is_ok_and(|times| times == 1) || *error == kv::Error::Full {
            log::line(log::Level::Warn, &["requests pass without being counted by `", &self.name, "`: ", why(error)].concat());
        }
    }
}

impl Shared {
    fn is_there(&self) -> bool {
        !matches!(LOCAL.get(&self.away), Ok(Some(_)))
    }

    #[cold]
    fn goes_away(&self, error: &kv::Error) {
        // If these fail, it is asked again and mentioned again, within the log's own rate.
        let _ = LOCAL.set(&self.away, "1", Some(AWAY));
        if LOCAL.add(&self.mentioned, 1, Some(MENTIONED)).is_ok_and(|times| times > 1) {
            return;
        }
        log::line(log::Level::Warn, &["kv `", &self.name, "` does not count (", why(error), "): this proxy counts by itself"].concat());
    }
}

fn why(error: &kv::Error) -> &str {
    match error {
        kv::Error::Denied => "it is not granted",
        kv::Error::Full => "it is full",
        kv::Error::WrongType => "something else has the key",
        kv::Error::Unavailable(why) => why,
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Rounded up, by whole milliseconds as the store gives them.
fn seconds(time: Duration) -> u32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() != 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// By hand, because `core::fmt` would cost a small guest several KiB.
fn digits(mut number: u32) -> String {
    let mut digits = Vec::new();
    while digits.is_empty() || number > 0 {
        digits.insert(0, b'0' + (number % 10) as u8);
        number /= 10;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests;
