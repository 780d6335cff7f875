//! Which client certificates a site takes: its CA bundle and revocation lists, read and checked, as rustls wants them.
//!
//! Revocation is checked for every certificate of a chain, and what no list speaks of counts as revoked, as with OpenSSL's
//! `CRL_CHECK_ALL`.

use super::coverage::Coverage;
use super::problem::CertProblem;
use super::revocation::{list_problems, lists};
use super::watch::{MadeOfFiles, Taken};
use crate::config::{ClientCertSpec, Location, SiteName};
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a site demands of its clients, for as long as it is served: its files may change meanwhile.
pub struct Guard {
    spec: ClientCertSpec,
    site: SiteName,
    current: ArcSwap<Clients>,
}

/// What a site demands of its clients.
pub struct Clients {
    /// The site's name, as exchanges know it.
    pub site: Arc<str>,
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Differs whenever anything differs that an identity was checked against, so that no session outlives the check.
    pub fingerprint: [u8; 32],
}

impl Guard {
    pub fn new(spec: &ClientCertSpec, site: &SiteName, clients: Clients) -> Arc<Self> {
        Arc::new(Self { spec: spec.clone(), site: site.clone(), current: ArcSwap::from_pointee(clients) })
    }

    /// What a client that comes now must meet.
    pub fn clients(&self) -> Arc<Clients> {
        self.current.load_full()
    }
}

/// The files that a site's clients are checked against.
pub fn paths(spec: &ClientCertSpec) -> Vec<&Path> {
    [Some(&*spec.ca), spec.crl.as_ref().map(|(path, _)| &**path)].into_iter().flatten().collect()
}

impl MadeOfFiles for Arc<Guard> {
    fn name(&self) -> (&'static str, String) {
        ("check of clients of", format!("`{}`", self.site))
    }

    fn files(&self) -> Vec<&Path> {
        paths(&self.spec)
    }

    fn read_again(&self, now: OffsetDateTime) -> Result<Taken, Vec<CertProblem>> {
        let (clients, warnings) = load(&self.spec, &self.site, now)?;
        self.current.store(Arc::new(clients));
        let said = match self.spec.crl {
            None => "new connections are held against the new CAs",
            Some(_) => "new connections are held against the new CAs and revocation lists",
        };
        Ok(Taken { said: said.into(), warnings, renamed: false })
    }
}

/// Everything that is wrong with a site's client CA and revocation lists. For `portcullis check`.
pub fn check_clients(spec: &ClientCertSpec, site: &SiteName) -> Vec<CertProblem> {
    match load(spec, site, OffsetDateTime::now_utc()) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

/// Reads and checks. `Err` has at least one error; `Ok` may come with warnings.
pub fn load(spec: &ClientCertSpec, site: &SiteName, now: OffsetDateTime) -> Result<(Clients, Vec<CertProblem>), Vec<CertProblem>> {
    let mut problems = Vec::new();
    // Both are read before either is given up, so that one run of `check` tells all.
    let (bundle, lists) = match (bundle(&spec.ca), spec.crl.as_ref().map(|(path, _)| lists(path)).transpose()) {
        (Ok(bundle), Ok(lists)) => (bundle, lists.unwrap_or_default()),
        (bundle, lists) => {
            let crl_at = spec.crl.as_ref().map_or(&spec.ca_at, |(_, at)| at);
            problems.extend(bundle.err().map(|message| CertProblem::error(CertProblem::CA_EMPTY, &spec.ca_at, message)));
            problems.extend(lists.err().map(|message| CertProblem::error(CertProblem::CA_EMPTY, crl_at, message)));
            return Err(problems);
        }
    };
    let mut digest = Context::new(&SHA256);
    digest.update(site.to_string().as_bytes());
    digest.update(&[0, u8::from(spec.require)]);
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(&bundle) {
        digest.update(certificate);
        let file = spec.ca.display();
        problems.extend(ca_problem(certificate, number, &file, &spec.ca_at, now));
        if let Err(error) = roots.add(certificate.clone()) {
            let message = format!("certificate {number} in {file} cannot be used: {error}");
            problems.push(CertProblem::error(CertProblem::CA_EMPTY, &spec.ca_at, message));
        }
    }
    if let Some((path, at)) = &spec.crl {
        lists.iter().for_each(|list| digest.update(list));
        problems.extend(list_problems(&lists, &bundle, path, at, now));
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).with_crls(lists);
    let builder = if spec.require { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| {
        let at = spec.crl.as_ref().map_or(&spec.ca_at, |(_, at)| at);
        problems.push(CertProblem::error(CertProblem::CA_EMPTY, at, format!("client certificates cannot be checked: {error}")));
    });
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.finish().as_ref());
    match verifier {
        Ok(verifier) if !problems.iter().any(CertProblem::is_error) => {
            Ok((Clients { site: site.to_string().into(), verifier, fingerprint }, problems))
        }
        _ => Err(problems),
    }
}

/// At least one certificate, or why not.
fn bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(format!("no certificate in {}; no client could be taken", path.display())),
        Ok(found) => Ok(found),
        Err(pem::Error::Io(error)) => Err(format!("cannot read {}: {error}", path.display())),
        Err(error) => Err(format!("{} is not PEM: {error}", path.display())),
    }
}

/// A certificate of the bundle that will not do what it is there for.
fn ca_problem(der: &[u8], number: usize, file: &impl std::fmt::Display, at: &Location, now: OffsetDateTime) -> Option<CertProblem> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject();
    let coverage = Coverage::read(der)?;
    if now > coverage.not_after {
        let message = format!("client CA `{name}` (certificate {number} in {file}) ended on {}", coverage.not_after.date());
        return Some(CertProblem::warning(CertProblem::VALIDITY, at, message));
    }
    (!certificate.is_ca() && certificate.version().0 == 2).then(|| {
        let message = format!("certificate {number} in {file} (`{name}`) is no CA: it vouches for no client");
        CertProblem::warning(CertProblem::CA_EMPTY, at, message)
    })
}
