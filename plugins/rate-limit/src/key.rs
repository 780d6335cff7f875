//! What is counted together. One rule for every store: a key begins with the limit itself (name, rate, burst, and what the key is made of), so
//! that equal limits are one, wherever they stand, and others never meet.

use super::digits;
use core::net::IpAddr;
use portcullis_sdk::RequestInterest;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;
use sha2::{Digest, Sha256};

/// What a limit counts by.
pub struct Key {
    parts: Vec<Part>,
    /// What every key begins with.
    prefix: String,
}

enum Part {
    Method,
    Host,
    Path,
    Header(String),
    Cookie(String),
    Query(String),
    /// Also `client.ip`, `site` and `route`.
    Attribute(String),
}

/// Bytes of a value that stands in the key as it is.
const PLAIN: usize = 64;

/// A store takes keys of 1,024 bytes, and each part may add `PLAIN` and a comma.
const PARTS: usize = 8;
const WRITTEN: usize = 300;

impl Key {
    pub fn parse(written: &OneOrMany<String>, problems: &mut Vec<Problem>) -> Self {
        let mut parts = Vec::new();
        let at = Pointer::root().key("key");
        for (index, text) in written.iter().enumerate() {
            match part(text) {
                Ok(part) => parts.extend(part),
                Err(why) => problems.push(Problem::at(written.pointer(&at, index), why)),
            }
        }
        let prefix = written.iter().fold(String::new(), |prefix, text| [&prefix, text, ","].concat());
        if written.is_empty() {
            problems.push(Problem::at(at, "names nothing; \"all\" counts everything together"));
        } else if parts.len() > PARTS || prefix.len() > WRITTEN {
            problems.push(Problem::at(at, "a key has at most 8 parts of together 300 characters"));
        }
        Self { parts, prefix }
    }

    /// The same, with the limit in front.
    pub fn under(self, limit: &str) -> Self {
        Self { prefix: [limit, &self.prefix, "|"].concat(), ..self }
    }

    pub fn ask(&self, request: &mut RequestInterest) {
        for part in &self.parts {
            match part {
                Part::Method => request.method(),
                Part::Host => request.authority(),
                Part::Path => request.path(),
                Part::Header(name) => request.header(name.clone()),
                Part::Cookie(_) => request.header("cookie"),
                Part::Query(_) => request.query(),
                Part::Attribute(name) => request.attribute(name.clone()),
            };
        }
    }

    pub fn of(&self, request: &Request) -> String {
        let mut key = self.prefix.clone();
        for part in &self.parts {
            part.push(request, &mut key);
            key.push(',');
        }
        key
    }
}

fn part(text: &str) -> Result<Option<Part>, &'static str> {
    let named = |name: &str, part: fn(String) -> Part| match name {
        "" => Err("a name is missing behind the colon"),
        name => Ok(Some(part(name.to_owned()))),
    };
    match (text, text.split_once(':')) {
        ("all", _) => Ok(None),
        ("method", _) => Ok(Some(Part::Method)),
        ("host", _) => Ok(Some(Part::Host)),
        ("path", _) => Ok(Some(Part::Path)),
        ("client.ip" | "site" | "route", _) => Ok(Some(Part::Attribute(text.to_owned()))),
        (_, Some(("header", name))) => header_name(name).map(|name| Some(Part::Header(name))),
        (_, Some(("cookie", name))) => named(name, Part::Cookie),
        (_, Some(("query", name))) => named(name, Part::Query),
        (_, Some(("attribute", name))) => named(name, Part::Attribute),
        _ => Err("there are client.ip, site, route, method, host, path, header:NAME, cookie:NAME, query:NAME, attribute:NAME and all"),
    }
}

impl Part {
    /// Nothing for what is not there: all without it are counted together.
    fn push(&self, request: &Request, key: &mut String) {
        match self {
            Self::Method => push(request.method(), key),
            Self::Host => push(request.host(), key),
            Self::Path => push(request.path(), key),
            Self::Header(name) => request.header(name).into_iter().for_each(|value| push_digest(value, key)),
            Self::Cookie(name) => request.cookie(name).into_iter().for_each(|value| push_digest(value, key)),
            Self::Query(name) => request.query_value(name).into_iter().for_each(|value| push(&value, key)),
            Self::Attribute(name) if name == "client.ip" => request.attribute(name).into_iter().for_each(|ip| push_client(ip, key)),
            Self::Attribute(name) => request.attribute(name).into_iter().for_each(|value| push(value, key)),
        }
    }
}

/// A network of IPv6 is one client, since it can take any address of it.
fn push_client(ip: &str, key: &mut String) {
    match ip.parse().map(|ip: IpAddr| ip.to_canonical()) {
        Ok(IpAddr::V6(six)) => {
            for byte in &six.octets()[..8] {
                push_hex(*byte, key);
            }
            key.push_str("/64");
        }
        Ok(IpAddr::V4(four)) => {
            for (index, octet) in four.octets().into_iter().enumerate() {
                key.push_str(if index == 0 { "" } else { "." });
                key.push_str(&digits(octet.into()));
            }
        }
        Err(_) => push(ip, key),
    }
}

/// As it is, if it is short and cannot be taken for something else.
fn push(value: &str, key: &mut String) {
    let plain = value.len() <= PLAIN && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'#');
    if plain { key.push_str(value) } else { push_digest(value.as_bytes(), key) }
}

/// 128 bits are enough that nobody finds two that are equal.
fn push_digest(value: &[u8], key: &mut String) {
    key.push('#');
    for byte in &Sha256::digest(value)[..16] {
        push_hex(*byte, key);
    }
}

fn push_hex(byte: u8, key: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        key.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
}
