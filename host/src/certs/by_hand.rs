//! Certificates of the local CA that someone asked for by name, for servers and clients of a development set-up.

use super::local_ca::{LocalCa, LocalCaError, alternative_names};
use crate::config::SiteName;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

/// Nobody renews these, so they live longer than the leaves that the proxy makes for itself.
const LIFE: Duration = Duration::days(30);
const BACKDATED: Duration = Duration::hours(1);

/// Which end of a connection shows the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuedFor {
    Server,
    Client,
}

/// A certificate with its key, both PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
    /// Without an extension; only characters that mean nothing to a file system.
    pub file_name: String,
    pub ends: OffsetDateTime,
}

impl LocalCa {
    /// A new certificate for `name`, which is not kept here.
    pub fn issue(&self, name: &str, purpose: IssuedFor, now: OffsetDateTime) -> Result<Issued, LocalCaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ends = now + LIFE;
        let mut params = match purpose {
            IssuedFor::Server => CertificateParams::new(alternative_names(&site(name)?))?,
            IssuedFor::Client => CertificateParams::default(),
        };
        if purpose == IssuedFor::Client {
            params.subject_alt_names = client_names(name)?;
        }
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Portcullis local");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = now - BACKDATED;
        params.not_after = ends;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            IssuedFor::Server => ExtendedKeyUsagePurpose::ServerAuth,
            IssuedFor::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, self.issuer())?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '@') { c } else { '_' };
        let file_name: String = name.chars().map(plain).collect();
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            file_name: file_name.trim_start_matches('.').to_owned(),
            ends,
        })
    }
}

fn site(name: &str) -> Result<SiteName, LocalCaError> {
    match SiteName::read(name) {
        Ok(SiteName::Any) | Err(_) => Err(LocalCaError::Name(name.to_owned())),
        Ok(site) => Ok(site),
    }
}

/// Where clients are known by: an e-mail address, a URI, or a host name; other names are in the subject only.
fn client_names(name: &str) -> Result<Vec<SanType>, LocalCaError> {
    let text = || Ia5String::try_from(name).map_err(|_| LocalCaError::Name(name.to_owned()));
    if name.trim().is_empty() || name.contains(char::is_control) {
        return Err(LocalCaError::Name(name.to_owned()));
    }
    Ok(match name {
        uri if uri.contains("://") => vec![SanType::URI(text()?)],
        mail if mail.contains('@') => vec![SanType::Rfc822Name(text()?)],
        host if matches!(SiteName::read(host), Ok(SiteName::Exact(_))) && host.contains('.') => {
            vec![host.parse().map_or(SanType::DnsName(text()?), SanType::IpAddress)]
        }
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::coverage::{Coverage, Subject};
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn servers_by_name_and_clients_by_whatever_they_are_called() {
        let state = tempfile::tempdir().expect("a directory");
        let ca = LocalCa::open(state.path()).expect("made");
        let issued = |name: &str, purpose| ca.issue(name, purpose, OffsetDateTime::now_utc());
        let server = issued("*.dev.test", IssuedFor::Server).expect("made");
        let der = CertificateDer::from_pem_slice(server.certificate.as_bytes()).expect("PEM");
        assert!(Coverage::read(&der).expect("a certificate").covers(&Subject::Below("dev.test".into())));
        assert_eq!(server.file_name, "_.dev.test");
        assert!(issued("*", IssuedFor::Server).is_err() && issued("a b", IssuedFor::Server).is_err());
        for name in ["alice", "alice@example.com", "spiffe://dev/alice", "laptop.example.com", "10.0.0.1"] {
            assert!(issued(name, IssuedFor::Client).is_ok(), "{name}");
        }
        assert_eq!(issued("../x", IssuedFor::Client).expect("made").file_name, "_x");
    }
}
