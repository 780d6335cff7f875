//! What a client certificate says, as the rest of the house knows it. The handshake has verified the certificate and that the client
//! has its key; here it is only read.

use crate::message::{AlternativeNames, ClientIdentity, Stated};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use bytestring::ByteString;
use rustls::pki_types::CertificateDer;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::time::SystemTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// The identity that a verified chain stands for.
///
/// # Errors
/// The certificate cannot be read, or has ended: a session is resumed without the certificate being verified again.
pub(super) fn identify(chain: &[CertificateDer<'_>]) -> io::Result<ClientIdentity> {
    let unreadable = || io::Error::other("the client's certificate cannot be read");
    let leaf = chain.first().ok_or_else(unreadable)?;
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let end = certificate.validity().not_after.to_datetime();
    let ends = SystemTime::from(end);
    if ends < SystemTime::now() {
        return Err(io::Error::other(format!("the client's certificate has ended on {}", end.date())));
    }
    let serial = hex(certificate.raw_serial());
    let stated = Stated {
        subject: name(certificate.subject()),
        common_name: certificate.subject().iter_common_name().last().and_then(|name| name.as_str().ok()).map(ByteString::from),
        issuer: name(certificate.issuer()),
        serial: serial.trim_start_matches('0').into(),
        fingerprint: hex(digest(&SHA256, leaf).as_ref()).into(),
        not_after: end.format(&Rfc3339).unwrap_or_default().into(),
        ends,
        names: alternative_names(&certificate),
    };
    Ok(ClientIdentity::new(chain.iter().map(|der| Bytes::copy_from_slice(der)).collect(), stated))
}

fn alternative_names(certificate: &X509Certificate<'_>) -> AlternativeNames {
    let mut names = AlternativeNames::default();
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return names };
    for name in &extension.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.dns.extend(plain(name)),
            GeneralName::URI(name) => names.uri.extend(plain(name)),
            GeneralName::RFC822Name(name) => names.email.extend(plain(name)),
            GeneralName::IPAddress(octets) => names.ip.extend(address(octets)),
            _ => {}
        }
    }
    names
}

/// A name without anything that could be taken for the end of it.
fn plain(name: &str) -> Option<ByteString> {
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.into())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// RFC 4514: the last RDN first.
fn name(name: &X509Name<'_>) -> ByteString {
    let rdn = |rdn: &x509_parser::prelude::RelativeDistinguishedName<'_>| rdn.iter().map(attribute).collect::<Vec<_>>().join("+");
    let mut all: Vec<_> = name.iter_rdn().map(rdn).collect();
    all.reverse();
    all.join(",").into()
}

/// RFC 4514, section 2.3 and 2.4.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = match &*oid {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        // Not in the RFC's table, but what everybody writes.
        "1.2.840.113549.1.9.1" => "emailAddress",
        "2.5.4.5" => "serialNumber",
        other => other,
    };
    match attribute.as_str() {
        Ok(text) => format!("{short}={}", escaped(text)),
        Err(_) => format!("{short}=#{}", hex(attribute.as_slice())),
    }
}

/// Section 2.4, with everything in hexadecimal that is not visible ASCII or that ends a quoted string elsewhere.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        // Writing to a string cannot fail.
        let _ = match byte {
            b' ' if index > 0 && index < last => write!(out, " "),
            b'#' if index > 0 => write!(out, "#"),
            b',' | b'+' | b';' | b'<' | b'>' | b'#' => write!(out, "\\{}", char::from(byte)),
            b'"' | b'\\' => write!(out, "\\{byte:02X}"),
            _ if byte.is_ascii_graphic() => write!(out, "{}", char::from(byte)),
            _ => write!(out, "\\{byte:02X}"),
        };
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> io::Result<ClientIdentity> {
        let mut params = CertificateParams::new(vec!["a.partner.test".to_owned(), "192.0.2.1".to_owned()]).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        identify(&[certificate.der().clone()])
    }

    #[test]
    fn names_are_read() {
        let identity = made(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Partner, Inc.");
            params.distinguished_name.push(DnType::CommonName, "alice");
            params.subject_alt_names.push(SanType::URI("spiffe://td/alice".try_into().expect("ASCII")));
            params.serial_number = Some(vec![0, 0x1f, 0xa0].into());
        })
        .expect("readable");
        assert_eq!((&*identity.subject, &*identity.serial), ("CN=alice,O=Partner\\, Inc.", "1fa0"));
        assert_eq!((&*identity.names.dns[0], &*identity.names.uri[0]), ("a.partner.test", "spiffe://td/alice"));
        assert_eq!(identity.names.ip, [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(identity.fingerprint.len(), 64);
    }

    /// Not taken out of the subject's text, where another attribute could pretend to be one.
    #[test]
    fn the_common_name_is_the_one_that_is_there() {
        let identity = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "Smith, J");
            params.distinguished_name.push(DnType::OrganizationName, "x,CN=root");
        });
        assert_eq!(identity.expect("readable").common_name.as_deref(), Some("Smith, J"));
        assert_eq!(made(|_| {}).expect("readable").common_name, None);
    }

    #[test]
    fn text_in_a_name_stays_within_it() {
        let identity = made(|params| params.distinguished_name.push(DnType::CommonName, " a\"\\\r\nX: y;é ")).expect("readable");
        assert_eq!(&*identity.subject, "CN=\\20a\\22\\5C\\0D\\0AX: y\\;\\C3\\A9\\20");
        assert!(identity.subject.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    }

    #[test]
    fn what_has_ended_is_refused() {
        let past = made(|params| params.not_after = time::OffsetDateTime::now_utc() - time::Duration::hours(1));
        assert!(past.err().is_some_and(|error| error.to_string().contains("has ended")));
        assert!(identify(&[]).is_err() && identify(&[CertificateDer::from(vec![0x30, 0])]).is_err());
    }
}
