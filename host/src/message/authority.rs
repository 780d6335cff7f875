//! Host and port in their normal form (RFC 3986, sections 3.2.2, 3.2.3 and 6.2.2.1): lower case, no default port, no trailing dot.
//!
//! Stricter than the RFC: percent-encoding and sub-delimiters, which no host on the Internet has, are refused, since origins
//! disagree on them. No names are looked up here.

use super::{Malformed, Scheme};
use bytestring::ByteString;
use std::fmt;
use std::net::Ipv6Addr;

/// Not a host, or not a port after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BadHost;

impl BadHost {
    /// The reason token, which is that of hosts refused while parsing.
    pub const fn reason(self) -> &'static str {
        Malformed::Host.reason()
    }
}

impl fmt::Display for BadHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host is not a name or an address")
    }
}

impl std::error::Error for BadHost {}

/// Longer than any DNS name with its port; bounds what a look-up by labels can cost.
const LONGEST: usize = 253 + ":65535".len();

/// The authority in normal form. Costs no allocation if it is normal already.
pub fn normalise(authority: ByteString, scheme: Scheme) -> Result<ByteString, BadHost> {
    let text: &str = &authority;
    if text.len() > LONGEST {
        return Err(BadHost);
    }
    let (host, port) = split(text)?;
    let host_normal = if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        normal_address(address)?
    } else {
        normal_name(host)?
    };
    let port_kept = normal_port(port, scheme)?;
    match (host_normal, port_kept) {
        (None, None) if port.is_none() => Ok(authority),
        (None, None) => Ok(authority.slice_ref(host)),
        // The number written as it was, without leading zeros.
        (None, Some(_)) if port.is_some_and(|port| port == "0" || !port.starts_with('0')) => Ok(authority),
        (host_normal, Some(number)) => Ok(format!("{}:{number}", host_normal.as_deref().unwrap_or(host)).into()),
        (Some(host_normal), None) => Ok(host_normal.into()),
    }
}

/// The host of an authority in normal form: what sites are found by.
pub fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        // A colon inside brackets is the address's.
        Some(colon) if !authority.ends_with(']') => authority.get(..colon).unwrap_or(authority),
        _ => authority,
    }
}

/// The text after the host is the port, if there is a colon.
fn split(text: &str) -> Result<(&str, Option<&str>), BadHost> {
    if text.starts_with('[') {
        let (host, rest) = text.split_at(text.find(']').ok_or(BadHost)? + 1);
        return match rest {
            "" => Ok((host, None)),
            _ => rest.strip_prefix(':').map(|port| (host, Some(port))).ok_or(BadHost),
        };
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

/// `None`: as written. Zone identifiers (`%eth0`) mean nothing to anybody else and are refused.
fn normal_address(text: &str) -> Result<Option<String>, BadHost> {
    let address: Ipv6Addr = text.parse().map_err(|_| BadHost)?;
    let normal = address.to_string();
    Ok((normal != text).then(|| format!("[{normal}]")))
}

/// `None`: as written.
fn normal_name(text: &str) -> Result<Option<String>, BadHost> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut label = 0;
    let mut upper = false;
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => (upper, label) = (true, label + 1),
            b'.' if label > 0 => label = 0,
            _ => return Err(BadHost),
        }
    }
    if label == 0 {
        return Err(BadHost);
    }
    Ok((upper || name.len() != text.len()).then(|| name.to_ascii_lowercase()))
}

/// `None`: there is none, or it is the scheme's default, or empty (RFC 3986, section 6.2.3).
fn normal_port(port: Option<&str>, scheme: Scheme) -> Result<Option<u16>, BadHost> {
    let Some(port) = port.filter(|port| !port.is_empty()) else { return Ok(None) };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadHost);
    }
    let number = port.parse().map_err(|_| BadHost)?;
    Ok(Some(number).filter(|number| *number != default_port(scheme)))
}

/// RFC 9110, sections 4.2.1 and 4.2.2.
pub const fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn authorities_become_normal() {
        let cases = [
            ("example.com", "example.com"),
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("Example.com.:8080", "example.com:8080"),
            ("example.com:443", "example.com"),
            ("example.com:", "example.com"),
            ("example.com:80", "example.com:80"),
            ("example.com:08443", "example.com:8443"),
            ("example.com:00443", "example.com"),
            ("example.com:0", "example.com:0"),
            ("localhost:8443", "localhost:8443"),
            ("my_service-1", "my_service-1"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]", "[::1]"),
            ("[::1]:443", "[::1]"),
            ("[::1]:8443", "[::1]:8443"),
            ("[0:0::0:1]", "[::1]"),
            ("[2001:DB8::A]:8443", "[2001:db8::a]:8443"),
        ];
        for (given, expected) in cases {
            assert_eq!(normalise(given.into(), Scheme::Https).as_deref(), Ok(expected), "{given}");
        }
        assert_eq!(normalise("a:80".into(), Scheme::Http).as_deref(), Ok("a"));
        assert_eq!(normalise("a:443".into(), Scheme::Http).as_deref(), Ok("a:443"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(300);
        let cases = [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            ":80",
            "a:b",
            "a:-1",
            "a:+1",
            "a:65536",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%25eth0]",
            "[a]",
            "[]",
            "a b",
            "a@b",
            "user:pw@b",
            "a/b",
            "a?b",
            "a,b",
            "a%41",
            "é",
            "a\0",
            "a\\b",
            &long,
        ];
        for given in cases {
            assert_eq!(normalise(given.into(), Scheme::Https), Err(BadHost), "{given:?}");
        }
    }

    #[test]
    fn normal_authority_is_not_copied() {
        for given in ["example.com", "localhost:8443", "[::1]:8443", "example.com:443"] {
            let given = ByteString::from(given);
            assert_eq!(normalise(given.clone(), Scheme::Https).expect("a host").as_ptr(), given.as_ptr());
        }
    }

    #[test]
    fn host_is_without_port() {
        for (given, expected) in [("a", "a"), ("a:1", "a"), ("[::1]", "[::1]"), ("[::1]:1", "[::1]")] {
            assert_eq!(host(given), expected);
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_a_fixed_point(given in "(\\[[0-9a-fA-F:]{0,12}\\]|[a-bA-B.0_-]{0,12})(:[0-9]{0,5})?") {
            if let Ok(normal) = normalise(given.as_str().into(), Scheme::Https) {
                prop_assert_eq!(normalise(normal.clone(), Scheme::Https), Ok(normal.clone()));
            }
        }
    }
}
