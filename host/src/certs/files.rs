//! A certificate chain and its key from PEM files, with everything that is wrong with them.

use super::coverage::{Coverage, Subject};
use super::ocsp::{self, Status};
use super::problem::CertProblem;
use crate::config::{CertifiedFiles, Location, SiteName};
use rustls::Error as TlsError;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Renewal usually happens 30 days before the end; when 14 are left, something has stopped working.
const SOON: Duration = Duration::days(14);

/// A certificate that can be presented.
#[derive(Debug, Clone)]
pub struct Certified {
    pub key: Arc<CertifiedKey>,
    pub coverage: Coverage,
    /// The same with an OCSP response, and until when that holds: clients refuse an old one, but do without.
    pub stapled: Option<(Arc<CertifiedKey>, OffsetDateTime)>,
}

impl Certified {
    /// What to present now.
    pub fn at(&self, now: OffsetDateTime) -> Arc<CertifiedKey> {
        let stapled = self.stapled.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key);
        stapled.unwrap_or(&self.key).clone()
    }
}

/// Everything that is wrong with the files of a site with these names: nothing, warnings only, or errors. For `portcullis check`.
pub fn check_files<'n>(files: &CertifiedFiles, names: impl IntoIterator<Item = &'n SiteName>) -> Vec<CertProblem> {
    match load(files, names, OffsetDateTime::now_utc()) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

/// Reads and checks the files of a site with these names. `Err` has at least one error; `Ok` may come with warnings.
pub fn load<'n>(
    files: &CertifiedFiles,
    names: impl IntoIterator<Item = &'n SiteName>,
    now: OffsetDateTime,
) -> Result<(Certified, Vec<CertProblem>), Vec<CertProblem>> {
    let (certified, problems) = read(files, names, now).map_err(|unreadable| unreadable.0)?;
    match certified {
        Some(certified) if !problems.iter().any(CertProblem::is_error) => Ok((certified, problems)),
        _ => Err(problems),
    }
}

/// Files that could not be read as what they should be.
struct Unreadable(Vec<CertProblem>);

/// The pair, unless its halves differ, and what is wrong with it.
fn read<'n>(
    files: &CertifiedFiles,
    names: impl IntoIterator<Item = &'n SiteName>,
    now: OffsetDateTime,
) -> Result<(Option<Certified>, Vec<CertProblem>), Unreadable> {
    // Both are read before either is given up, so that one run of `check` tells all.
    let unreadable = |at: &Location, message| CertProblem::error(CertProblem::UNREADABLE, at, message);
    let chain = chain(&files.cert).map_err(|message| unreadable(&files.at, message));
    let key = key(&files.key).map_err(|message| unreadable(&files.key_at, message));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(Unreadable([chain.err(), key.err()].into_iter().flatten().collect())),
    };
    let leaf = chain.first().and_then(|leaf| Coverage::read(leaf));
    let Some(coverage) = leaf else {
        let message = format!("the first certificate in {} cannot be parsed", files.cert.display());
        return Err(Unreadable(vec![unreadable(&files.at, message)]));
    };
    let mut problems = Vec::new();
    problems.extend(names.into_iter().filter_map(|name| name_problem(files, name, &coverage)));
    problems.extend(validity_problem(files, &coverage, now));
    let certified = match CertifiedKey::from_der(chain, key, &default_provider()) {
        Ok(key) => {
            let stapled = stapled(files, &key, now, &mut problems);
            Some(Certified { key: Arc::new(key), coverage, stapled })
        }
        Err(error) => {
            problems.push(pair_problem(files, &error));
            None
        }
    };
    Ok((certified, problems))
}

/// The pair with its OCSP response, if there is one that is good for anything.
fn stapled(
    files: &CertifiedFiles,
    key: &CertifiedKey,
    now: OffsetDateTime,
    problems: &mut Vec<CertProblem>,
) -> Option<(Arc<CertifiedKey>, OffsetDateTime)> {
    let path = files.ocsp.as_ref()?;
    let file = path.display();
    let mut unusable = |message| problems.push(CertProblem::error(CertProblem::UNREADABLE, &files.at, message));
    let response = fs::read(path).map_err(|error| unusable(format!("cannot read {file}: {error}"))).ok()?;
    let leaf = key.cert.first()?;
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let said = ocsp::read(&response, certificate.raw_serial()).map_err(|what| unusable(format!("{file} {what}"))).ok()?;
    if said.status != Status::Good {
        unusable(format!("{file} does not say that the certificate is good: clients that look would refuse it"));
        return None;
    }
    // Without an end, it is not worth much for long: a week is what most responders give.
    let until = said.next_update.unwrap_or(said.this_update + Duration::days(7));
    if until <= now {
        let message = format!("the OCSP response in {file} ended on {} and is not sent", until.date());
        problems.push(CertProblem::warning(CertProblem::VALIDITY, &files.at, message));
        return None;
    }
    let stapled = CertifiedKey { ocsp: Some(response), ..key.clone() };
    Some((Arc::new(stapled), until))
}

/// At least one certificate, leaf first; or why not.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(chain) if chain.is_empty() => Err(format!("no certificate in {}", path.display())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unreadable(path, &error)),
    }
}

pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("no private key in {}", path.display()),
        error => unreadable(path, &error),
    })
}

fn unreadable(path: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot read {}: {error}", path.display()),
        error => format!("{} is not PEM: {error}", path.display()),
    }
}

fn name_problem(files: &CertifiedFiles, site: &SiteName, coverage: &Coverage) -> Option<CertProblem> {
    let covered = coverage.covers(&Subject::of(site));
    (!covered).then(|| {
        let message = format!("the certificate does not cover `{site}`: {} is for {}", files.cert.display(), coverage.listed());
        CertProblem::error(CertProblem::NOT_COVERED, &files.at, message)
    })
}

pub(super) fn validity_problem(files: &CertifiedFiles, coverage: &Coverage, now: OffsetDateTime) -> Option<CertProblem> {
    let Coverage { not_before, not_after, .. } = coverage;
    let file = files.cert.display();
    if now > *not_after {
        Some(CertProblem::error(CertProblem::VALIDITY, &files.at, format!("the certificate in {file} ended on {}", not_after.date())))
    } else if now < *not_before {
        Some(CertProblem::error(CertProblem::VALIDITY, &files.at, format!("the certificate in {file} begins on {}", not_before.date())))
    } else if *not_after - now < SOON {
        let days = (*not_after - now).whole_days();
        let message = format!("the certificate in {file} ends in {days} {}", if days == 1 { "day" } else { "days" });
        Some(CertProblem::warning(CertProblem::VALIDITY, &files.at, message))
    } else {
        None
    }
}

pub(super) fn pair_problem(files: &CertifiedFiles, error: &TlsError) -> CertProblem {
    match error {
        TlsError::InconsistentKeys(_) => {
            let message = format!("the key in {} does not belong to the certificate in {}", files.key.display(), files.cert.display());
            CertProblem::error(CertProblem::KEY_DIFFERS, &files.at, message)
                .with_help("`cert` holds the site's own certificate first, then the intermediate ones")
        }
        error => {
            let message =
                format!("the certificate in {} cannot be used with the key in {}: {error}", files.cert.display(), files.key.display());
            CertProblem::error(CertProblem::UNREADABLE, &files.at, message)
        }
    }
}

#[cfg(test)]
mod tests;
