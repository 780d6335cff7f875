//! Names whose certificates are ordered: what is kept of earlier orders, and what is wrong with it.

use super::Source;
use crate::certs::acme::{self, Ordered, Shelf};
use crate::certs::coverage::Coverage;
use crate::certs::problem::CertProblem;
use crate::config::{AcmeSpec, SiteName};
use arc_swap::ArcSwapOption;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;

/// A name whose certificate is ordered, with the one that is kept from before.
pub fn of(name: &SiteName, spec: &AcmeSpec, state: &Path) -> Result<Ordered, CertProblem> {
    if let Some(problem) = roots_problem(spec) {
        return Err(problem);
    }
    let shelf = Shelf::open(state, &spec.issuer.directory);
    let shelf = shelf.map_err(|error| CertProblem::error(CertProblem::ACME_STATE, &spec.at, format!("ACME: {error}")))?;
    let name = name.to_string();
    let source = Arc::new(Source::Acme(ArcSwapOption::from_pointee(shelf.certificate(&name))));
    Ok(Ordered { name, spec: spec.clone(), shelf, source })
}

/// What is wrong with the files that an ACME site names, and with the certificate that is kept in `state`. For `portcullis check`.
pub fn check_acme(spec: &AcmeSpec, site: &SiteName, state: Option<&Path>) -> Vec<CertProblem> {
    let kept = state.and_then(|state| Shelf::at(state, &spec.issuer.directory).certificate(&site.to_string()));
    let old = kept.and_then(|kept| age_problem(spec, site, &kept.coverage, OffsetDateTime::now_utc()));
    roots_problem(spec).into_iter().chain(old).collect()
}

/// A warning: the running proxy may be about to get a new one, and a stopped one orders it at its start.
pub(super) fn age_problem(spec: &AcmeSpec, site: &SiteName, kept: &Coverage, now: OffsetDateTime) -> Option<CertProblem> {
    // Halfway from renewal to the end: then renewing has failed for long.
    let late = kept.not_after - (kept.not_after - kept.not_before) / 6;
    let how = if now > kept.not_after {
        "ended"
    } else if now > late {
        "ends"
    } else {
        return None;
    };
    let message = format!("the ordered certificate for `{site}` {how} on {}, and was not renewed", kept.not_after.date());
    Some(
        CertProblem::warning(CertProblem::VALIDITY, &spec.at, message)
            .with_help("a running proxy logs why; a stopped one renews at its start"),
    )
}

fn roots_problem(spec: &AcmeSpec) -> Option<CertProblem> {
    let (ca, at) = spec.issuer.ca.as_ref()?;
    let error = acme::check_roots(ca).err()?;
    Some(CertProblem::error(CertProblem::ACME_STATE, at, format!("the CA file of the ACME directory cannot be used: {error}")))
}
