//! Which certificate a handshake gets: exact name, then wildcard one label deep, then the `*` site.
//!
//! Leaves of the local CA are renewed from here, by the first handshake that finds one old: a proxy runs for longer than they live.

use super::clients::{self, Clients};
use super::coverage::{Coverage, Subject};
use super::files::{self, Certified};
use super::local_ca::{LocalCa, renewal};
use super::problem::CertProblem;
use crate::config::{Site, SiteName, TlsSpec};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use time::{Duration, OffsetDateTime};

/// After a failed renewal. The disk may be full for a while; the old leaf still has days.
const RENEWAL_PAUSE: Duration = Duration::minutes(10);

/// The certificates of all sites with TLS. Shared by all workers.
#[derive(Default)]
pub struct Store {
    exact: HashMap<String, Arc<Source>>,
    /// By the part behind `*.`.
    below: HashMap<String, Arc<Source>>,
    /// In file order.
    addresses: Vec<(IpAddr, Arc<Source>)>,
    any: Option<Arc<Source>>,
    /// The sites that ask their clients for certificates, with what they take.
    guarded: Vec<(Arc<Source>, Clients)>,
}

/// Where a certificate comes from.
enum Source {
    Files(Certified),
    Local(LocalLeaf),
}

struct LocalLeaf {
    ca: Arc<LocalCa>,
    site: SiteName,
    /// A lock and not an atomic swap: two threads must not renew at once, and it is taken once a handshake, never for long.
    current: Mutex<(Arc<CertifiedKey>, OffsetDateTime)>,
}

impl Store {
    /// Reads or makes the certificates of all sites. `Err` has every error of every site; `Ok` may come with warnings.
    /// The local CA in `state` is opened only if a site wants it.
    pub fn open(sites: &[Site], state: &Path) -> Result<(Self, Vec<CertProblem>), Vec<CertProblem>> {
        let mut store = Self::default();
        let mut problems = Vec::new();
        let mut local = None;
        let mut alternatives = Vec::new();
        for site in sites {
            let source = match &site.tls {
                TlsSpec::Off => continue,
                TlsSpec::Local => local_leaf(site, &mut local, state).map_err(|problem| problems.extend(problem)),
                TlsSpec::Files(files) => match files::load(files, &site.name, OffsetDateTime::now_utc()) {
                    Ok((certified, warnings)) => {
                        problems.extend(warnings);
                        let coverage = certified.coverage.clone();
                        let source = Arc::new(Source::Files(certified));
                        alternatives.push((Subject::of(&site.name), coverage, source.clone()));
                        Ok(source)
                    }
                    Err(found) => {
                        problems.extend(found);
                        Err(())
                    }
                },
            };
            let clients = site.client.as_ref().map(|spec| clients::load(spec, &site.name, OffsetDateTime::now_utc()));
            let clients = match clients.transpose() {
                Ok(loaded) => loaded.map(|(clients, warnings)| {
                    problems.extend(warnings);
                    clients
                }),
                Err(found) => {
                    problems.extend(found);
                    None
                }
            };
            if let Ok(source) = source {
                store.guarded.extend(clients.map(|clients| (source.clone(), clients)));
                store.insert(&site.name, source);
            }
        }
        for (subject, coverage, source) in alternatives {
            store.insert_alternatives(&subject, &coverage, &source);
        }
        if problems.iter().any(CertProblem::is_error) { Err(problems) } else { Ok((store, problems)) }
    }

    /// The certificate for a handshake. `sni` in lower case; `local` is the address the client connected to, which decides
    /// where there is no SNI because the URL has an address. `None`: nothing here answers to that name.
    pub fn choose(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<Arc<CertifiedKey>> {
        let source = match sni {
            Some(name) => self.by_name(name),
            None => self.by_address(local),
        };
        source.map(|source| source.certified(OffsetDateTime::now_utc()))
    }

    /// Whether `choose` would find one.
    pub fn answers(&self, sni: Option<&str>, local: Option<IpAddr>) -> bool {
        match sni {
            Some(name) => self.by_name(name).is_some(),
            None => self.by_address(local).is_some(),
        }
    }

    /// The sites that ask their clients for certificates, with what they take.
    pub fn guarded(&self) -> impl Iterator<Item = &Clients> {
        self.guarded.iter().map(|(_, clients)| clients)
    }

    /// The number, in `guarded`, of the site whose certificate `choose` would find.
    pub fn guard(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<usize> {
        if self.guarded.is_empty() {
            return None;
        }
        let source = match sni {
            Some(name) => self.by_name(name),
            None => self.by_address(local),
        }?;
        self.guarded.iter().position(|(guarded, _)| Arc::ptr_eq(guarded, source))
    }

    /// The certificate of the site with this number in `guarded`.
    pub fn guarded_certificate(&self, number: usize) -> Option<Arc<CertifiedKey>> {
        self.guarded.get(number).map(|(source, _)| source.certified(OffsetDateTime::now_utc()))
    }

    /// The addresses that are sites of their own.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().map(|(address, _)| *address)
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Source>> {
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.below.get(rest));
        self.exact.get(name).or_else(wildcard).or(self.any.as_ref())
    }

    /// The address's own site; behind address translation no site has the local address, so then the `*` site, then the first
    /// address's, then `localhost`.
    fn by_address(&self, local: Option<IpAddr>) -> Option<&Arc<Source>> {
        let own = self.addresses.iter().find(|(address, _)| Some(*address) == local).map(|(_, source)| source);
        let first = || self.addresses.first().map(|(_, source)| source);
        own.or(self.any.as_ref()).or_else(first).or_else(|| self.exact.get("localhost"))
    }

    fn insert(&mut self, site: &SiteName, source: Arc<Source>) {
        match Subject::of(site) {
            Subject::Any => self.any = Some(source),
            Subject::Ip(ip) => self.addresses.push((ip, source)),
            Subject::Host(host) => drop(self.exact.insert(host, source)),
            Subject::Below(suffix) => drop(self.below.insert(suffix, source)),
        }
    }

    /// A wildcard site answers at any depth, but a wildcard name only one label deep: the certificate's other names below the
    /// site's are served too, unless another site claims them.
    fn insert_alternatives(&mut self, site: &Subject, coverage: &Coverage, source: &Arc<Source>) {
        let Subject::Below(suffix) = site else { return };
        for name in &coverage.dns {
            let inside = name.strip_suffix(suffix.as_str()).is_some_and(|front| front.ends_with('.'));
            match name.strip_prefix("*.") {
                _ if !inside => {}
                Some(rest) => drop(self.below.entry(rest.to_owned()).or_insert_with(|| source.clone())),
                None => drop(self.exact.entry(name.clone()).or_insert_with(|| source.clone())),
            }
        }
    }
}

/// A leaf for the site; `ca` remembers between sites whether the CA could be opened, so that a failure is told once.
fn local_leaf(site: &Site, ca: &mut Option<Option<Arc<LocalCa>>>, state: &Path) -> Result<Arc<Source>, Option<CertProblem>> {
    let problem =
        |error: super::local_ca::LocalCaError| Some(CertProblem::error(CertProblem::LOCAL_CA, &site.at, format!("local CA: {error}")));
    let ca = match ca {
        Some(opened) => opened.clone().ok_or(None)?,
        None => {
            let opened = LocalCa::open(state).map(Arc::new);
            *ca = Some(opened.as_ref().ok().cloned());
            opened.map_err(problem)?
        }
    };
    let leaf = ca.leaf(&site.name, OffsetDateTime::now_utc()).map_err(problem)?;
    let current = Mutex::new((leaf.key, renewal(&leaf.coverage)));
    Ok(Arc::new(Source::Local(LocalLeaf { ca, site: site.name.clone(), current })))
}

impl Source {
    fn certified(&self, now: OffsetDateTime) -> Arc<CertifiedKey> {
        match self {
            Self::Files(certified) => certified.at(now),
            Self::Local(leaf) => leaf.certified(now),
        }
    }
}

impl LocalLeaf {
    /// Renewing blocks this worker for about a millisecond, once in five days.
    fn certified(&self, now: OffsetDateTime) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.1 {
            *current = match self.ca.leaf(&self.site, now) {
                Ok(leaf) => (leaf.key, renewal(&leaf.coverage)),
                Err(error) => {
                    tracing::warn!(site = %self.site, %error, "the local certificate could not be renewed");
                    (current.0.clone(), now + RENEWAL_PAUSE)
                }
            };
        }
        current.0.clone()
    }
}

#[cfg(test)]
mod tests;
