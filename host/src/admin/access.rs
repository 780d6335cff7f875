//! Who may ask, and who may change something.

use aws_lc_rs::{constant_time, digest};
use http::header::{self, HeaderMap};
use std::net::IpAddr;

/// Who may ask.
#[derive(Clone)]
pub enum Access {
    /// Everybody who can come: other machines cannot.
    Open,
    /// Who shows this token, of which only the digest is kept.
    Token([u8; 32]),
}

impl Access {
    pub fn token(token: &str) -> Self {
        Self::Token(digested(token.as_bytes()))
    }

    /// Digests are compared, so that not even the length can be told from the time it takes.
    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Self::Token(expected) = self else { return true };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, rest) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest)
        });
        shown.is_some_and(|shown| constant_time::verify_slices_are_equal(&digested(shown), expected).is_ok())
    }

    /// A page in a browser of this machine can have its own name lead to 127.0.0.1, and would then read what is served there. Who comes
    /// for us names an address, or this machine, or shows a token.
    pub(super) fn believes(&self, headers: &HeaderMap) -> bool {
        let Self::Open = self else { return true };
        let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
        let port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) if port(rest) => name,
            Some(_) => return false,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || name.is_empty()
    }
}

/// Whether a browser says that a page from elsewhere makes this request: it sends what it likes to any address, though it is not shown the
/// answer. Programs that are no browsers say nothing of the kind.
pub(super) fn from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let own = |origin: &str| {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host)))
    };
    site || text("origin").is_some_and(|origin| !own(origin))
}

fn digested(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}
#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, header::HeaderValue::from_static(value));
        }
        from_elsewhere(&headers)
    }

    #[test]
    fn pages_from_elsewhere_are_told_by_what_browsers_say() {
        let host = ("host", "127.0.0.1:9180");
        for (fields, expected) in [
            (&[host][..], false),
            (&[host, ("origin", "http://127.0.0.1:9180"), ("sec-fetch-site", "same-origin")], false),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("origin", "http://evil.test")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("origin", "http://127.0.0.1:8080")], true),
            (&[host, ("sec-fetch-site", "cross-site")], true),
            (&[host, ("sec-fetch-site", "same-site")], true),
            (&[("origin", "http://127.0.0.1:9180")], true),
        ] {
            assert_eq!(elsewhere(fields), expected, "{fields:?}");
        }
    }
}
