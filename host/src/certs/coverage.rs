//! Which names a certificate is good for, and when (RFC 5280, section 4.1.2.5; RFC 6125, section 6.4).
//!
//! Only subject alternative names count; clients stopped reading the common name years ago.

use crate::config::SiteName;
use std::fmt;
use std::net::IpAddr;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a leaf certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Lower case, wildcards as `*.example.com`.
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

/// A site name as a certificate can carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Ip(IpAddr),
    /// `a.example.com`
    Host(String),
    /// `*.example.com`, held as `example.com`.
    Below(String),
    /// Every name, which no certificate can carry.
    Any,
}

impl Subject {
    pub fn of(name: &SiteName) -> Self {
        match name {
            SiteName::Any => Self::Any,
            SiteName::Wildcard(suffix) => Self::Below(suffix.clone()),
            SiteName::Exact(host) => match host.trim_start_matches('[').trim_end_matches(']').parse() {
                Ok(ip) => Self::Ip(ip),
                Err(_) => Self::Host(host.clone()),
            },
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Host(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Coverage {
    /// Reads a DER certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut dns = Vec::new();
        let mut ips = Vec::new();
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase()),
                    GeneralName::IPAddress(bytes) => ips.extend(ip_from_octets(bytes)),
                    _ => {}
                }
            }
        }
        let validity = certificate.validity();
        Some(Self { dns, ips, not_before: validity.not_before.to_datetime(), not_after: validity.not_after.to_datetime() })
    }

    /// Whether a client that asked for `subject` accepts this certificate. For a wildcard site: whether names one label below do.
    pub fn covers(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Any => true,
            Subject::Ip(ip) => self.ips.contains(ip),
            Subject::Below(suffix) => self.dns.iter().any(|name| name.strip_prefix("*.") == Some(suffix)),
            Subject::Host(host) => self.dns.iter().any(|name| matches_host(name, host)),
        }
    }

    /// The names for an error text.
    pub fn listed(&self) -> String {
        let names: Vec<String> = self.dns.iter().cloned().chain(self.ips.iter().map(IpAddr::to_string)).collect();
        if names.is_empty() { "no name at all".into() } else { names.join(", ") }
    }
}

/// A `*` stands for exactly one label, the leftmost (RFC 6125, section 6.4.3).
fn matches_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == host,
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
    }
}

fn ip_from_octets(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(names: &[&str]) -> Coverage {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let certified = rcgen::generate_simple_self_signed(names).expect("valid names");
        Coverage::read(certified.cert.der()).expect("a certificate")
    }

    fn covers(names: &[&str], site: SiteName) -> bool {
        coverage(names).covers(&Subject::of(&site))
    }

    fn exact(name: &str) -> SiteName {
        SiteName::Exact(name.into())
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(covers(&["*.example.com"], exact("a.example.com")));
        assert!(!covers(&["*.example.com"], exact("a.b.example.com")));
        assert!(!covers(&["*.example.com"], exact("example.com")));
        assert!(covers(&["*.Example.com"], SiteName::Wildcard("example.com".into())));
        assert!(!covers(&["a.example.com"], SiteName::Wildcard("example.com".into())));
    }

    #[test]
    fn addresses_are_matched_as_addresses() {
        assert!(covers(&["127.0.0.1"], exact("127.0.0.1")));
        assert!(covers(&["::1"], exact("[::1]")));
        assert!(!covers(&["localhost"], exact("127.0.0.1")));
    }

    #[test]
    fn what_is_no_certificate_covers_nothing() {
        assert_eq!(Coverage::read(b"\x30\x03abc"), None);
        assert_eq!(Coverage::read(b""), None);
    }
}
