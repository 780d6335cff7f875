//! What the server is asked: the request's own control data in `X-Forwarded-*` (Traefik, Caddy) and `X-Original-*` (nginx), and some of its fields.

use core::time::Duration;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{RequestInterest, http};
use sha2::{Digest, Sha256};

pub struct Question {
    upstream: Upstream,
    path: String,
    method: String,
    host: String,
    /// `None`: all.
    send: Option<Vec<String>>,
    timeout: Duration,
}

const USUAL: [&str; 5] = ["accept", "authorization", "cookie", "user-agent", "x-requested-with"];

/// The proxy's word, not the client's.
const OURS: [&str; 8] = [
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-for",
    "x-original-method",
    "x-original-url",
    "x-original-uri",
];

impl Question {
    pub fn new(
        upstream: Upstream,
        (path, method, host): (String, String, String),
        send: Option<OneOrMany<String>>,
        timeout: Duration,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let root = Pointer::root();
        if !path.starts_with('/') || path.contains(['#', ' ']) || path.chars().any(char::is_control) {
            problems.push(Problem::at(root.key("path"), "a path begins with `/` and has neither `#` nor blanks"));
        }
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            problems.push(Problem::at(root.key("method"), "a method is a word in capitals, such as GET"));
        }
        let mut names = Some(Vec::new());
        match send {
            None => names = Some(USUAL.map(ToOwned::to_owned).to_vec()),
            Some(list) => {
                for (index, name) in list.iter().enumerate() {
                    match header_name(name) {
                        _ if name == "*" => names = None,
                        Ok(name) => names.iter_mut().for_each(|names| names.push(name.clone())),
                        Err(why) => problems.push(Problem::at(list.pointer(&root.key("send"), index), why)),
                    }
                }
            }
        }
        Self { upstream, path, method, host, send: names, timeout }
    }

    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    pub fn ask_for(&self, request: &mut RequestInterest) {
        request.method().scheme().authority().path().query().attribute("client.ip");
        match &self.send {
            None => {
                request.all_headers();
            }
            Some(names) => {
                for name in names {
                    request.header(name.clone());
                }
            }
        }
    }

    pub fn send(&self, request: &Request) -> Result<http::Response, http::Error> {
        let uri = uri(request);
        let url = [request.scheme(), "://", request.authority(), &uri].concat();
        let values = [
            request.method(),
            request.scheme(),
            request.authority(),
            &uri,
            request.attribute("client.ip").unwrap_or_default(),
            request.method(),
            &url,
            &uri,
        ];
        let ours = OURS.iter().zip(values).filter(|(_, value)| !value.is_empty());
        let ask = http::Request::new(&self.method, &self.upstream, &self.path).authority(&self.host).timeout(self.timeout);
        let ask = ours.fold(ask, |ask, (name, value)| ask.header(name, value));
        self.fields(request).fold(ask, |ask, (name, value)| ask.header(name, value)).send()
    }

    fn fields<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = (&'r str, &'r [u8])> {
        let wanted = |name: &str| self.send.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
        request.headers().filter(move |(name, _)| wanted(name) && !OURS.contains(name) && *name != "expect")
    }

    /// Of all that the answer may depend on, the question and what is wanted of the answer included.
    pub fn digest(&self, request: &Request, copy: &[String]) -> [u8; 32] {
        let mut digest = Sha256::new();
        // With its length, so that no two lists of parts are one text.
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        for part in [&*self.upstream, &self.path, &self.method, &self.host] {
            add(part.as_bytes());
        }
        for name in copy {
            add(name.as_bytes());
        }
        for part in
            [request.method(), request.scheme(), request.authority(), &uri(request), request.attribute("client.ip").unwrap_or_default()]
        {
            add(part.as_bytes());
        }
        for (name, value) in self.fields(request) {
            add(name.as_bytes());
            add(value);
        }
        digest.finalize().into()
    }
}

fn uri(request: &Request) -> String {
    match request.query() {
        Some(query) => [request.path(), "?", query].concat(),
        None => request.path().to_owned(),
    }
}
