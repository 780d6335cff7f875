//! Stores and upstreams: what a plugin reaches by name.

use crate::abi::Field;
use crate::field::{header_name, header_value};
use crate::http::{Error, Request, Response};
use crate::kv;
use crate::verdict::Reply;
use std::collections::BTreeMap;
use std::time::Duration;

/// A store in memory that is never full.
#[derive(Default)]
pub struct Store {
    entries: BTreeMap<Vec<u8>, Entry>,
    pub broken: Option<kv::Error>,
}

struct Entry {
    value: Vec<u8>,
    /// Nanoseconds of the monotonic clock.
    until: Option<u64>,
}

impl Store {
    pub fn get(&self, key: &[u8], now: u64) -> Option<Vec<u8>> {
        self.live(key, now).map(|entry| entry.value.clone())
    }

    fn live(&self, key: &[u8], now: u64) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.until.is_none_or(|until| until > now))
    }

    pub fn put(&mut self, key: &[u8], value: Vec<u8>, ttl: Option<u64>, now: u64) {
        let until = ttl.map(|millis| now.saturating_add(millis.saturating_mul(1_000_000)));
        self.entries.insert(key.to_vec(), Entry { value, until });
    }

    pub fn add(&mut self, key: &[u8], delta: i64, ttl: Option<u64>, now: u64) -> Result<i64, kv::Error> {
        let Some(Entry { value, until }) = self.live(key, now) else {
            self.put(key, delta.to_string().into_bytes(), ttl, now);
            return Ok(delta);
        };
        let number: Option<i64> = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        // Only what a counter would read as is one.
        let number = number.filter(|number| number.to_string().as_bytes() == value);
        let sum = number.and_then(|number| number.checked_add(delta)).ok_or(kv::Error::WrongType)?;
        let until = *until;
        self.entries.insert(key.to_vec(), Entry { value: sum.to_string().into_bytes(), until });
        Ok(sum)
    }

    /// A bucket is kept as `b` and when it will be full.
    pub fn take(&mut self, key: &[u8], units: u32, capacity: u32, interval: u64, now: u64) -> Result<kv::Taken, kv::Error> {
        let full = match self.get(key, now) {
            None => now,
            Some(value) => {
                let digits = value.strip_prefix(b"b").and_then(|digits| std::str::from_utf8(digits).ok());
                digits.and_then(|digits| digits.parse().ok()).ok_or(kv::Error::WrongType)?
            }
        };
        let length = interval * u64::from(capacity);
        let missing = full.saturating_sub(now).min(length);
        let after = missing + interval * u64::from(units);
        let admitted = after <= length;
        let missing = if admitted { after } else { missing };
        if admitted {
            let full = now + missing;
            self.entries.insert(key.to_vec(), Entry { value: format!("b{full}").into_bytes(), until: Some(full) });
        }
        let millis = |nanos: u64| Duration::from_millis(nanos.div_ceil(1_000_000));
        let left = u32::try_from((length - missing) / interval).unwrap_or(capacity);
        Ok(kv::Taken { admitted, left, retry: millis(after.saturating_sub(length)), full: millis(missing) })
    }

    pub fn delete(&mut self, key: &[u8], now: u64) -> bool {
        let there = self.live(key, now).is_some();
        self.entries.remove(key);
        there
    }
}

pub type Upstream = Box<dyn FnMut(&Request<'_>) -> Result<Response, Error>>;

/// What a test's upstream may answer with.
pub trait Answers {
    #[doc(hidden)]
    fn answer(self) -> Result<Response, Error>;
}

impl Answers for Reply {
    fn answer(self) -> Result<Response, Error> {
        let headers = self.headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Ok(Response { status: self.status, headers, body: self.body.into_owned() })
    }
}

impl Answers for Result<Reply, Error> {
    fn answer(self) -> Result<Response, Error> {
        self?.answer()
    }
}

/// A request that the plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub upstream: String,
    pub method: String,
    /// Empty: the upstream's name.
    pub authority: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Milliseconds.
    pub timeout: Option<u32>,
}

impl Asked {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let header = |field: &Field<'_>| (field.name().to_owned(), field.value().to_vec());
        Self {
            upstream: request.upstream.to_owned(),
            method: request.method.to_owned(),
            authority: request.authority.to_owned(),
            path: request.path.to_owned(),
            headers: request.headers.iter().map(header).collect(),
            body: request.body.to_vec(),
            timeout: request.timeout,
        }
    }
}

/// For tests: what a request holds.
impl Request<'_> {
    pub fn upstream_name(&self) -> &str {
        self.upstream
    }

    pub fn method(&self) -> &str {
        self.method
    }

    pub fn path(&self) -> &str {
        self.path
    }

    /// The first field line of this name (lower case), if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|field| field.is(name))?;
        std::str::from_utf8(field.value()).ok()
    }

    pub fn body_bytes(&self) -> &[u8] {
        self.body
    }
}

/// As the proxy checks it.
pub(super) fn check(request: &Request<'_>) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::Invalid(what));
    if !request.path.starts_with('/') {
        return invalid(format!("the path {:?} does not begin with /", request.path));
    }
    if request.body.len() > 1 << 20 {
        return invalid(format!("a body of {} bytes, more than 1 MiB", request.body.len()));
    }
    for field in &request.headers {
        if let Err(why) = header_name(field.name()).and_then(|_| header_value(field.value())) {
            return invalid(why.to_owned());
        }
    }
    Ok(())
}
