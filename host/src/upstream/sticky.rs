//! Clients that stay with a server: a cookie names it. The name is a code of its address under a key that only we have: nobody learns the
//! address from it, and nobody can make one up.

use super::hash::cookie;
use crate::config::{StickySpec, UpstreamServer};
use crate::message::{RequestHead, Scheme};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use std::fmt::Write;

/// What codes are made with. All workers have the same, and all machines that clients may come to.
#[derive(Clone)]
pub struct Seal(hmac::Key);

/// Bytes of a code: enough that it cannot be guessed.
const CODE: usize = 16;

impl Seal {
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// One that nobody else has. `None`: the system has no random numbers.
    pub fn random() -> Option<Self> {
        let mut key = [0; 32];
        rand::fill(&mut key).ok().map(|()| Self::new(&key))
    }

    fn code(&self, upstream: &str, server: &str) -> String {
        // Names of upstreams have no spaces.
        let tag = hmac::sign(&self.0, format!("{upstream} {server}").as_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..CODE).unwrap_or_default())
    }
}

/// The cookies of an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sticky {
    name: String,
    /// What follows the value, but for `Secure`.
    attributes: String,
    /// Of its servers, in their order.
    codes: Box<[String]>,
}

impl Sticky {
    pub fn new(spec: &StickySpec, seal: &Seal, upstream: &str, servers: &[UpstreamServer]) -> Self {
        let mut attributes = "; Path=/; HttpOnly; SameSite=Lax".to_owned();
        if let Some(age) = spec.max_age {
            // Writing to a string does not fail.
            let _ = write!(attributes, "; Max-Age={}", age.as_secs());
        }
        let codes = servers.iter().map(|server| seal.code(upstream, &server.address.to_string())).collect();
        Self { name: spec.cookie.clone(), attributes, codes }
    }

    /// The server that the request names.
    pub fn server(&self, head: &RequestHead) -> Option<usize> {
        let named = cookie(head, &self.name)?;
        self.codes.iter().position(|code| code.as_bytes() == named)
    }

    /// What makes a client stay with this server.
    pub fn set_cookie(&self, server: usize, scheme: Scheme) -> Option<HeaderValue> {
        let code = self.codes.get(server)?;
        let secure = if scheme == Scheme::Https { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{}={code}{}{secure}", self.name, self.attributes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Location, ServerAddress, UpstreamSpec};
    use http::{HeaderMap, Method, header};
    use std::time::Duration;

    fn sticky(key: &[u8], upstream: &str, ports: &[u16], max_age: Option<Duration>) -> Sticky {
        let servers = ports.iter().map(|port| ServerAddress::Tcp { host: "10.0.0.1".into(), port: *port }).collect();
        let spec = UpstreamSpec::plain(servers, Location { file: "test".into(), line: 1, column: 1 });
        Sticky::new(&StickySpec { cookie: "sid".into(), max_age }, &Seal::new(key), upstream, &spec.servers)
    }

    fn asked_with(cookie: &str) -> RequestHead {
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).expect("a value"))]);
        RequestHead { method: Method::GET, scheme: Scheme::Https, authority: "a.test".into(), path: "/".into(), query: None, headers }
    }

    #[test]
    fn a_cookie_names_its_server_wherever_that_stands_and_no_other_upstream_s() {
        let one = sticky(b"key", "app", &[1, 2], None);
        let set = one.set_cookie(1, Scheme::Https).expect("a cookie");
        let (pair, attributes) = set.to_str().expect("text").split_once("; ").expect("attributes");
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax; Secure");
        assert!(!pair.contains("10.0.0.1") && pair.len() == "sid=".len() + 22, "{pair}");
        let head = asked_with(&format!("a=b; {pair}"));
        assert_eq!(one.server(&head), Some(1));
        assert_eq!(sticky(b"key", "app", &[3, 4, 2], None).server(&head), Some(2));
        for other in [sticky(b"key", "app", &[1], None), sticky(b"key", "other", &[1, 2], None), sticky(b"other", "app", &[1, 2], None)] {
            assert_eq!(other.server(&head), None);
        }
        assert_eq!(one.server(&asked_with("sid=10.0.0.1:2; sid=")), None);
    }

    #[test]
    fn it_may_last_and_is_for_the_clear_where_that_is_spoken() {
        let one = sticky(b"key", "app", &[1], Some(Duration::from_secs(3600)));
        let set = one.set_cookie(0, Scheme::Http).expect("a cookie");
        assert!(set.to_str().expect("text").ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"), "{set:?}");
        assert_eq!(one.set_cookie(1, Scheme::Http), None);
    }
}
