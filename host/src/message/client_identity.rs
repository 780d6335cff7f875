//! Who a client is by the certificate it has shown and proved, and the fields that tell an origin: `Client-Cert` and
//! `Client-Cert-Chain` (RFC 9440), or Envoy's `X-Forwarded-Client-Cert`.
//!
//! Reads no certificate and believes no field: whatever a client or a proxy in front of us says in these fields is removed, because
//! most of those in front pass them through as the client wrote them.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::cell::OnceCell;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::SystemTime;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// A verified client. All texts are of visible ASCII characters and spaces, so they can stand in a field or a log line.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// DER as the client sent it, its own certificate first. Never empty.
    pub chain: Box<[Bytes]>,
    /// As RFC 4514 writes names; what is not visible ASCII, and `"` and `\`, as `\` with two hexadecimal digits a byte.
    pub subject: ByteString,
    /// The last common name in the subject, as it stands there: the one text that may be of any characters.
    pub common_name: Option<ByteString>,
    pub issuer: ByteString,
    /// Hexadecimal, lower case, without leading zeros.
    pub serial: ByteString,
    /// SHA-256 of the client's certificate, hexadecimal, lower case.
    pub fingerprint: ByteString,
    /// The end of the certificate's life, RFC 3339.
    pub not_after: ByteString,
    pub ends: SystemTime,
    pub names: AlternativeNames,
    fields: OnceCell<Fields>,
}

/// Subject alternative names. Those with a space, or with anything that is not visible ASCII, are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    pub dns: Vec<ByteString>,
    pub uri: Vec<ByteString>,
    pub email: Vec<ByteString>,
    pub ip: Vec<IpAddr>,
}

/// What the certificate says, for [`ClientIdentity::new`].
#[derive(Debug, Clone)]
pub struct Stated {
    pub subject: ByteString,
    pub common_name: Option<ByteString>,
    pub issuer: ByteString,
    pub serial: ByteString,
    pub fingerprint: ByteString,
    pub not_after: ByteString,
    pub ends: SystemTime,
    pub names: AlternativeNames,
}

/// Field values, made when they are first wanted.
#[derive(Debug, Clone)]
struct Fields {
    cert: HeaderValue,
    /// `None`: the client sent no other certificate than its own.
    chain: Option<HeaderValue>,
    xfcc: HeaderValue,
}

impl ClientIdentity {
    pub fn new(chain: Box<[Bytes]>, stated: Stated) -> Self {
        let Stated { subject, common_name, issuer, serial, fingerprint, not_after, ends, names } = stated;
        Self { chain, subject, common_name, issuer, serial, fingerprint, not_after, ends, names, fields: OnceCell::new() }
    }

    /// Sets `Client-Cert`, and `Client-Cert-Chain` if there is one (RFC 9440, section 2).
    pub fn write_rfc9440(&self, headers: &mut HeaderMap) {
        let fields = self.fields();
        headers.insert(CLIENT_CERT, fields.cert.clone());
        if let Some(chain) = &fields.chain {
            headers.insert(CLIENT_CERT_CHAIN, chain.clone());
        }
    }

    /// Sets `X-Forwarded-Client-Cert` with the keys `Hash`, `Cert`, `Subject`, `URI` and `DNS`.
    pub fn write_xfcc(&self, headers: &mut HeaderMap) {
        headers.insert(X_FORWARDED_CLIENT_CERT, self.fields().xfcc.clone());
    }

    fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| {
            let mut certificates = self.chain.iter().map(|der| format!(":{}:", base64(der)));
            let cert = value(certificates.next().unwrap_or_default());
            let others: Vec<_> = certificates.collect();
            let chain = (!others.is_empty()).then(|| value(others.join(", ")));
            Fields { cert, chain, xfcc: value(self.xfcc()) }
        })
    }

    fn xfcc(&self) -> String {
        let leaf = self.chain.first().map_or(&[][..], |leaf| leaf);
        let mut text = format!("Hash={};Cert=\"{}\";Subject=\"{}\"", self.fingerprint, percent(&pem(leaf)), self.subject);
        let uri = self.names.uri.iter().map(|name| ("URI", name));
        for (key, name) in uri.chain(self.names.dns.iter().map(|name| ("DNS", name))) {
            // Writing to a string cannot fail.
            let _ = match name.contains([',', ';', '=', '"', '\\']) {
                true => write!(text, ";{key}=\"{}\"", name.replace('\\', "%5C").replace('"', "%22")),
                false => write!(text, ";{key}={name}"),
            };
        }
        text
    }
}

/// Removes what only the proxy may say, whoever says it.
pub fn remove_claims(headers: &mut HeaderMap) {
    for name in [CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT] {
        headers.remove(name);
    }
}

/// Whether a field name (lower case) is one of these.
pub fn is_claim(name: &str) -> bool {
    matches!(name, "client-cert" | "client-cert-chain" | "x-forwarded-client-cert")
}

/// Our own texts are visible ASCII.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn base64(bytes: &[u8]) -> Base64Display<'_, '_, base64::engine::GeneralPurpose> {
    Base64Display::new(bytes, &STANDARD)
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = base64(der).to_string();
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n-----END CERTIFICATE-----\n"
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    fn identity(chain: &[&'static [u8]], uri: &[&'static str]) -> ClientIdentity {
        let names = AlternativeNames {
            dns: vec!["a.partner.test".into()],
            uri: uri.iter().map(|uri| ByteString::from_static(uri)).collect(),
            ..AlternativeNames::default()
        };
        let stated = Stated {
            subject: "CN=alice".into(),
            common_name: None,
            issuer: "CN=ca".into(),
            serial: "1f".into(),
            fingerprint: "ab".into(),
            not_after: "2027-01-01T00:00:00Z".into(),
            ends: SystemTime::UNIX_EPOCH,
            names,
        };
        ClientIdentity::new(chain.iter().map(|der| Bytes::from_static(der)).collect(), stated)
    }

    #[test]
    fn rfc_9440_has_the_leaf_and_the_rest_apart() {
        let mut headers = HeaderMap::new();
        identity(&[b"leaf", b"mid", b"root"], &[]).write_rfc9440(&mut headers);
        assert_eq!(headers, fields(&[("client-cert", ":bGVhZg==:"), ("client-cert-chain", ":bWlk:, :cm9vdA==:")]));
        let mut alone = HeaderMap::new();
        identity(&[b"leaf"], &[]).write_rfc9440(&mut alone);
        assert_eq!(alone, fields(&[("client-cert", ":bGVhZg==:")]));
    }

    #[test]
    fn xfcc_cannot_be_broken_out_of() {
        let mut headers = HeaderMap::new();
        identity(&[b"+leaf"], &["spiffe://td/a", "x:\";Hash=0,\\"]).write_xfcc(&mut headers);
        let expected = "Hash=ab;Cert=\"-----BEGIN%20CERTIFICATE-----%0AK2xlYWY%3D%0A-----END%20CERTIFICATE-----%0A\";Subject=\"CN=alice\";\
                        URI=spiffe://td/a;URI=\"x:%22;Hash=0,%5C\";DNS=a.partner.test";
        assert_eq!(headers["x-forwarded-client-cert"], expected);
    }

    #[test]
    fn every_claim_is_removed() {
        let mut headers =
            fields(&[("client-cert", "1"), ("client-cert", "2"), ("client-cert-chain", "3"), ("x-forwarded-client-cert", "4"), ("x", "5")]);
        remove_claims(&mut headers);
        assert_eq!(headers, fields(&[("x", "5")]));
    }

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem(&[0; 60]);
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [27, 64, 16, 25]);
    }
}
