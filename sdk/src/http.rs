//! Requests to upstreams of the configuration. Granted by name: `http = ["idp"]`. They use the upstream's servers, pool, TLS and timeouts.
//!
//! Waiting for an answer holds up nobody but the exchange in hand. All that a call waits for together is bounded by the plugin's
//! `limits.time`, 2 seconds unless the operator says otherwise; beyond it the call is a fault, so an answer that the plugin can do without
//! wants a shorter [`timeout`](Request::timeout).
//!
//! ```
//! use portcullis_sdk::http;
//! use std::time::Duration;
//!
//! # use portcullis_sdk::{Reply, test::Outside};
//! # let outside = Outside::new().upstream("idp", |request: &http::Request| Reply::new(204)).install();
//! # fn ask(token: &[u8]) -> Result<bool, http::Error> {
//! let answer = http::Request::get("idp", "/check").header("authorization", token).timeout(Duration::from_millis(300)).send()?;
//! # Ok(answer.status() == 204)
//! # }
//! # assert_eq!(ask(b"Bearer x"), Ok(true));
//! ```

use crate::abi::{Field, Str};
use crate::outside;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A request to be sent. It borrows what it is made of.
#[derive(Debug, Clone)]
pub struct Request<'r> {
    pub(crate) upstream: &'r str,
    pub(crate) method: &'r str,
    pub(crate) authority: &'r str,
    pub(crate) path: &'r str,
    pub(crate) headers: Vec<Field<'r>>,
    pub(crate) body: &'r [u8],
    /// Milliseconds.
    pub(crate) timeout: Option<u32>,
}

impl<'r> Request<'r> {
    /// `path` begins with `/`, and has the query, if there is one.
    #[inline]
    pub const fn new(method: &'r str, upstream: &'r str, path: &'r str) -> Self {
        Self { upstream, method, authority: "", path, headers: Vec::new(), body: &[], timeout: None }
    }

    /// As [`new`](Self::new), with GET.
    #[inline]
    pub const fn get(upstream: &'r str, path: &'r str) -> Self {
        Self::new("GET", upstream, path)
    }

    /// As [`new`](Self::new), with POST.
    #[inline]
    pub const fn post(upstream: &'r str, path: &'r str) -> Self {
        Self::new("POST", upstream, path)
    }

    /// Adds a field line. The name is in lower case and none that the proxy sets itself (`host`, `content-length`, …).
    #[inline]
    #[must_use]
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, name: &'r str, value: &'r V) -> Self {
        self.headers.push(Field { name: Str::of(name.as_bytes()), value: Str::of(value.as_ref()) });
        self
    }

    /// What the server gets as `Host`; the upstream's name unless this is called.
    #[inline]
    #[must_use]
    pub const fn authority(mut self, authority: &'r str) -> Self {
        self.authority = authority;
        self
    }

    /// At most 1 MiB.
    #[inline]
    #[must_use]
    pub fn body<B: AsRef<[u8]> + ?Sized>(mut self, body: &'r B) -> Self {
        self.body = body.as_ref();
        self
    }

    /// How long to wait for the whole answer; otherwise it is what is left of the call's time.
    #[inline]
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        let millis = time.as_secs().saturating_mul(1_000).saturating_add(time.subsec_millis().into());
        self.timeout = Some(u32::try_from(millis).unwrap_or(u32::MAX));
        self
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// There was no answer; one of any status is none.
    #[inline]
    pub fn send(self) -> Result<Response, Error> {
        send(self)
    }
}

/// Sends one request and waits for its answer.
///
/// # Errors
/// There was no answer; one of any status is none.
pub fn send(request: Request<'_>) -> Result<Response, Error> {
    let answer = outside::send(&[request]).pop();
    answer.unwrap_or_else(|| Err(Error::Failed(String::new())))
}

/// Sends all at once and returns when each has its answer or its error, in the order given. At most 16.
pub fn send_all(requests: &[Request<'_>]) -> Vec<Result<Response, Error>> {
    outside::send(requests)
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// 200 to 599.
    #[inline]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// All field lines, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first field line of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The first field line of this name (lower case), if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.header(name)?).ok()
    }

    #[inline]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        core::str::from_utf8(&self.body).ok()
    }

    #[inline]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The upstream is not granted to this plugin.
    Denied,
    /// A part of the request is not as it must be: this one.
    Invalid(String),
    /// It took longer than [`Request::timeout`].
    Timeout,
    /// The upstream could not be reached, or what it sent was no answer.
    Failed(String),
    /// The answer's body is larger than 1 MiB.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the upstream is not granted"),
            Self::Invalid(what) => f.write_str(what),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Failed(why) => f.write_str(why),
            Self::TooLarge => f.write_str("the answer is larger than 1 MiB"),
        }
    }
}

impl core::error::Error for Error {}
