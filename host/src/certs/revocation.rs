//! Certificate revocation lists from a file, and what is doubtful about them. Who is checked against them is not decided here.
//!
//! A list past its next update still says who is revoked and goes on being used, with a warning.

use super::problem::CertProblem;
use crate::config::Location;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::fs;
use std::path::Path;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

/// The revocation lists of a file: all of a PEM file, or the one that the file is.
pub fn lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let file = path.display();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {file}: {error}"))?;
    // DER begins with a SEQUENCE, which no PEM text does.
    let lists = match bytes.first() {
        Some(0x30) => vec![CertificateRevocationListDer::from(bytes)],
        _ => CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{file} is not PEM: {error}"))?,
    };
    match lists.iter().position(|list| CertificateRevocationList::from_der(list).is_err()) {
        _ if lists.is_empty() => Err(format!("no revocation list in {file}")),
        Some(bad) => Err(format!("revocation list {} in {file} cannot be parsed", bad + 1)),
        None => Ok(lists),
    }
}

/// Lists that are old, and issuers without one.
pub fn list_problems(
    lists: &[CertificateRevocationListDer<'_>],
    bundle: &[CertificateDer<'_>],
    path: &Path,
    at: &Location,
    now: OffsetDateTime,
) -> Vec<CertProblem> {
    let file = path.display();
    let mut problems = Vec::new();
    let parsed: Vec<_> = lists.iter().filter_map(|list| CertificateRevocationList::from_der(list).ok()).map(|(_, list)| list).collect();
    for list in &parsed {
        if let Some(next) = list.next_update().map(|next| next.to_datetime()).filter(|next| *next < now) {
            let message = format!("the revocation list of `{}` in {file} should have been replaced on {}", list.issuer(), next.date());
            problems.push(CertProblem::warning(CertProblem::VALIDITY, at, message).with_help("it goes on being used as it is"));
        }
    }
    for ca in bundle.iter().filter_map(|ca| X509Certificate::from_der(ca).ok()).map(|(_, ca)| ca) {
        if !parsed.iter().any(|list| list.issuer().as_raw() == ca.subject().as_raw()) {
            let message = format!("{file} has no revocation list of `{}`: every certificate that it issued is refused", ca.subject());
            problems.push(CertProblem::warning(CertProblem::CA_EMPTY, at, message));
        }
    }
    problems
}
