#![cfg_attr(target_family = "wasm", no_std)]

use core::time::Duration;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{http, kv, log, metrics, tracing};

/// Lets requests in that an auth service knows, and tells the upstream who it is.
#[settings]
struct AuthCache {
    /// The auth service. It is sent the client's `authorization`, and answers 2xx with the header `x-user`, 401 or 403.
    service: Upstream,
    /// Its path.
    #[setting(default = "/check")]
    path: String,
    /// Where its answers are kept: a store in memory.
    store: String,
    /// For how many seconds.
    #[setting(default = 30, min = 1, max = 3600)]
    keep: u32,
    /// How many milliseconds it has for an answer.
    #[setting(default = 500, min = 1)]
    timeout: u32,
}

/// What a store takes as a key. A longer credential is asked about each time.
const LONGEST_KEY: usize = 1024;

/// What the service says of a credential.
#[derive(Debug)]
enum Known {
    /// With the user's name, which may be empty.
    As(String),
    Not(u16),
    /// It said nothing.
    Unknown(String),
}

#[plugin]
impl AuthCache {
    #[interest(headers = ["authorization"], attributes = ["client.ip"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        // What the client writes there is not to be believed, whatever comes.
        edit.remove_header("x-user");
        let Some(credential) = request.header("authorization") else { return Some(refusal(401)) };
        match self.remembered(credential).unwrap_or_else(|| self.asked(credential)) {
            Known::As(user) => {
                if !user.is_empty() {
                    edit.set_header("x-user", user);
                }
                None
            }
            Known::Not(status) => {
                log::info!("{} is not let in: the service says {status}", request.attribute("client.ip").unwrap_or("somebody"));
                Some(refusal(status))
            }
            Known::Unknown(why) => {
                log::error!("the auth service does not answer: {why}");
                Some(Reply::new(503).header("retry-after", "1").text("try again\n"))
            }
        }
    }
}

impl AuthCache {
    /// What the service said before, if that is not long ago.
    fn remembered(&self, credential: &[u8]) -> Option<Known> {
        if credential.len() > LONGEST_KEY {
            return None;
        }
        // A store that does not answer is one that knows nothing.
        let user = kv::Store::named(&self.store).get(credential).ok()??;
        noted("hit");
        Some(Known::As(String::from_utf8(user).ok()?))
    }

    fn asked(&self, credential: &[u8]) -> Known {
        noted("miss");
        let time = Duration::from_millis(self.timeout.into());
        match http::Request::get(&self.service, &self.path).header("authorization", credential).timeout(time).send() {
            Ok(answer) if (200..300).contains(&answer.status()) => {
                let user = answer.header_str("x-user").unwrap_or_default().to_owned();
                self.remember(credential, &user);
                Known::As(user)
            }
            Ok(answer) if matches!(answer.status(), 401 | 403) => Known::Not(answer.status()),
            Ok(answer) => Known::Unknown(format!("status {}", answer.status())),
            Err(error) => Known::Unknown(error.to_string()),
        }
    }

    /// Only who is let in: everybody else could fill the store with credentials of his own making.
    fn remember(&self, credential: &[u8], user: &str) {
        if credential.len() > LONGEST_KEY {
            return;
        }
        let time = Duration::from_secs(self.keep.into());
        if let Err(error) = kv::Store::named(&self.store).set(credential, user, Some(time)) {
            log::warn!("not remembered: {error}");
        }
    }
}

/// Whether it was remembered: counted, and told in the trace of the request if there is one.
fn noted(result: &str) {
    metrics::count("auth_cache", &[("result", result)], 1);
    tracing::attribute("auth_cache", result);
}

fn refusal(status: u16) -> Reply {
    let reply = Reply::new(status).text("who are you?\n");
    if status == 401 { reply.header("www-authenticate", "Bearer") } else { reply }
}

#[cfg(test)]
mod tests;
