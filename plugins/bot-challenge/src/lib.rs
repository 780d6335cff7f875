//! Lets in whose browser has worked for it: others get a page that has it find a number, which takes a moment, and come back with it in a cookie.
//!
//! Nothing is kept: the task is made of a secret, the time and the client, so each guest and each proxy with the secret can check what another one set (`task`).
//! The page is one file without anything from elsewhere (`page.html`).
#![cfg_attr(target_family = "wasm", no_std)]

mod task;

use core::net::IpAddr;
use core::time::Duration;
use portcullis_sdk::networks::{self, Networks};
use portcullis_sdk::paths::PathPattern;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{clock, duration};
use task::{Tasks, Work};

/// Lets in whose browser has worked for it.
#[settings]
pub struct Settings {
    /// At least 32 bytes; { env = "…" } or { file = "…" }. Proxies with the same one take each other's cookies.
    secret: String,
    /// Leading zero bits of the digest that is to be found. Each doubles the work; 16 take a phone half a second or so.
    #[setting(default = 16, min = 1, max = 24)]
    difficulty: u8,
    /// How long a cookie lets in.
    #[setting(default = "12h")]
    valid: String,
    #[setting(default = "__pow")]
    cookie: String,
    /// Networks that need not work; a text may hold several, as a file does.
    #[setting(default)]
    allow: OneOrMany<String>,
    /// Paths that are open to all, such as /robots.txt, /feed/* or those of machines.
    #[setting(default)]
    except: OneOrMany<String>,
    /// With what the page comes; 429 and 503 keep crawlers from taking it for the site.
    #[setting(default = 429, min = 200, max = 599)]
    status: u16,
    #[setting(default = "One moment, please")]
    title: String,
}

pub struct BotChallenge {
    tasks: Tasks,
    cookie: String,
    allow: Option<Networks<()>>,
    except: Vec<PathPattern>,
    status: u16,
    /// Before and behind the task.
    page: (String, String),
}

const PAGE: &str = include_str!("page.html");

#[plugin(name = "bot-challenge", description = "Lets in whose browser has worked for it")]
impl BotChallenge {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, root) = (Vec::new(), Pointer::root());
        if settings.secret.len() < 32 {
            problems.push(Problem::at("/secret", "has fewer than 32 bytes, which can be guessed from one cookie"));
        }
        let valid = duration::parse(&settings.valid).map_err(|why| problems.push(Problem::at("/valid", why))).unwrap_or_default();
        if valid < Duration::from_secs(60) && problems.is_empty() {
            problems.push(Problem::at("/valid", "less than a minute would have people do nothing but work"));
        }
        let sound =
            !settings.cookie.is_empty() && settings.cookie.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !sound {
            problems.push(Problem::at("/cookie", "a cookie's name has letters, digits, `-` and `_`"));
        }
        let mut allow = Vec::new();
        for (index, text) in settings.allow.iter().enumerate() {
            for network in networks::read(text) {
                match network {
                    Ok(network) => allow.push((network, ())),
                    Err(why) => problems.push(Problem::at(settings.allow.pointer(&root.key("allow"), index), why)),
                }
            }
        }
        let mut except = Vec::new();
        for (index, path) in settings.except.iter().enumerate() {
            let at = settings.except.pointer(&root.key("except"), index);
            except.extend(PathPattern::parse(path).map_err(|why| problems.push(Problem::at(at, why))).ok());
        }
        if !problems.is_empty() {
            problems.truncate(10);
            return Err(problems);
        }
        let page = PAGE.replace("{{title}}", &escaped(&settings.title)).replace("{{cookie}}", &settings.cookie);
        let page = page.replace("{{difficulty}}", &settings.difficulty.to_string()).replace("{{seconds}}", &valid.as_secs().to_string());
        let (before, behind) = page.split_once("{{task}}").unwrap_or((&page, ""));
        Ok(Self {
            tasks: Tasks::new(settings.secret.into_bytes(), settings.difficulty, valid.as_secs()),
            cookie: settings.cookie,
            allow: (!allow.is_empty()).then(|| Networks::of(allow)),
            except,
            status: settings.status,
            page: (before.to_owned(), behind.to_owned()),
        })
    }

    fn plan(&self, plan: &mut Plan) {
        if !self.except.is_empty() {
            plan.request().path();
        }
    }

    #[interest(method, headers = ["cookie"], attributes = ["client.ip", "site"])]
    fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Option<Reply> {
        if !self.except.is_empty() && self.except.iter().any(|pattern| pattern.matches(request.path())) {
            return None;
        }
        let ip = request.attribute("client.ip").unwrap_or_default();
        let address = ip.parse::<IpAddr>().ok();
        if address.zip(self.allow.as_ref()).is_some_and(|(ip, allow)| allow.find(ip).is_some()) {
            return None;
        }
        let now = clock::now().as_secs();
        let who = [&task::client(address, ip), "|", request.attribute("site").unwrap_or_default()].concat();
        match request.cookie(&self.cookie).map(|cookie| self.tasks.check(cookie, &who, now)) {
            Some(Work::Done) => None,
            _ => Some(self.challenge(&self.tasks.set(&who, now))),
        }
    }
}

impl BotChallenge {
    fn challenge(&self, task: &str) -> Reply {
        Reply::new(self.status)
            .header("content-type", "text/html; charset=utf-8")
            .header("cache-control", "no-store")
            .header("retry-after", "5")
            .header("x-robots-tag", "noindex")
            .header(
                "content-security-policy",
                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'",
            )
            .body([&self.page.0, task, &self.page.1].concat())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
