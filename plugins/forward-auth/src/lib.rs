//! Asks a server whether a request may go on, as `auth_request` of nginx, ForwardAuth of Traefik and `forward_auth` of Caddy do.
//!
//! What the server is asked stands in `question`, what of its answer is kept in `kept`; this file says what becomes of the request.
#![cfg_attr(target_family = "wasm", no_std)]

mod kept;
mod question;

use core::time::Duration;
use kept::{Cache, Identity};
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{duration, http, log};
use question::Question;

/// Asks a server whether a request may go on.
#[settings]
pub struct Settings {
    /// The upstream that is asked.
    upstream: Upstream,
    /// Its path, with a query if it wants one.
    #[setting(default = "/")]
    path: String,
    /// The method it is asked with.
    #[setting(default = "GET")]
    method: String,
    /// What it gets as Host; the upstream's name unless written.
    #[setting(default)]
    host: String,
    /// Request fields that it gets, or "*" for all; accept, authorization, cookie, user-agent and x-requested-with unless written.
    send: Option<OneOrMany<String>>,
    /// Fields of its answer that the request goes on with. Clients cannot set them.
    #[setting(default)]
    copy: OneOrMany<String>,
    /// How long it may take.
    #[setting(default = "1s")]
    timeout: String,
    /// How long its "yes" holds for the same request: method, host, path, query, and the fields that it gets.
    cache: Option<String>,
    /// A store of [kv] for that, which several proxies can share; this process keeps it unless written.
    store: Option<StoreName>,
    /// With what a request is refused when the server does not answer.
    #[setting(default = 503, min = 400, max = 599)]
    unanswered: u16,
}

pub struct ForwardAuth {
    question: Question,
    /// Names in lower case.
    copy: Vec<String>,
    cache: Option<Cache>,
    unanswered: Rc<Reply>,
}

#[plugin(name = "forward-auth", description = "Asks a server whether a request may go on")]
impl ForwardAuth {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, root) = (Vec::new(), Pointer::root());
        let mut copy = Vec::new();
        for (index, name) in settings.copy.iter().enumerate() {
            let at = settings.copy.pointer(&root.key("copy"), index);
            copy.extend(header_name(name).map_err(|why| problems.push(Problem::at(at, why))).ok());
        }
        let mut time = |key: &str, text: &str| match duration::parse(text) {
            Ok(time) if !time.is_zero() => time,
            Ok(_) => {
                problems.push(Problem::at(root.key(key), "is no time at all"));
                Duration::ZERO
            }
            Err(why) => {
                problems.push(Problem::at(root.key(key), why));
                Duration::ZERO
            }
        };
        let timeout = time("timeout", &settings.timeout);
        let cache = settings.cache.as_deref().map(|text| Cache::new(time("cache", text), settings.store.clone()));
        if settings.store.is_some() && cache.is_none() {
            problems.push(Problem::at("/store", "says nothing without `cache`"));
        }
        let Settings { upstream, path, method, host, send, .. } = settings;
        let question = Question::new(upstream, (path, method, host), send, timeout, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let unanswered = Reply::new(settings.unanswered).header("retry-after", "5").text("nobody can say whether you may\n");
        Ok(Self { question, copy, cache, unanswered: Rc::new(unanswered) })
    }

    fn plan(&self, plan: &mut Plan) {
        self.question.ask_for(plan.request());
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Rc<Reply>> {
        for name in &self.copy {
            edit.remove_header(name);
        }
        let key = self.cache.as_ref().map(|cache| (cache, self.question.digest(request, &self.copy)));
        if let Some(identity) = key.as_ref().and_then(|(cache, key)| cache.find(key)) {
            identity.apply(edit);
            return None;
        }
        let answer = match self.question.send(request) {
            Ok(answer) => answer,
            Err(error) => {
                log::line(
                    log::Level::Warn,
                    &["upstream `", self.question.upstream(), "` does not say who may: ", &error.to_string()].concat(),
                );
                return Some(Rc::clone(&self.unanswered));
            }
        };
        if !(200..300).contains(&answer.status()) {
            return Some(Rc::new(passed_on(&answer)));
        }
        let identity = Identity::of(&answer, &self.copy);
        identity.apply(edit);
        if let Some((cache, key)) = key.filter(|_| kept::may_be(&answer)) {
            cache.keep(&key, &identity);
        }
        None
    }
}

/// Its "no" is the client's: where to log in, what is wrong, what is to be forgotten.
fn passed_on(answer: &http::Response) -> Reply {
    let headers = answer.headers().filter(|(name, _)| header_name(name).is_ok());
    headers
        .fold(Reply::new(answer.status()), |reply, (name, value)| reply.header(name.to_owned(), value.to_vec()))
        .body(answer.body().to_vec())
}

#[cfg(test)]
mod tests;
