//! Which certificate a handshake gets: exact name, then wildcard one label deep, then the `*` site.
//!
//! Leaves of the local CA are renewed from here, by the first handshake that finds one old: a proxy runs for longer than they live.
//! Files are read again by `watch`, which puts what it finds in here.

mod listed;
mod ordered;

use super::acme::{Acme, Challenges, Ordered};
use super::clients::{self, Guard};
use super::coverage::{Coverage, Subject};
use super::files::{self, Certified};
use super::local_ca::{LocalCa, renewal};
use super::problem::CertProblem;
use super::watch::{MadeOfFiles, Stamp, Taken, Watch, Watched};
use crate::config::{AcmeSpec, CertifiedFiles, ClientCertSpec, Location, Site, SiteName, TlsSpec};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use time::{Duration, OffsetDateTime};

pub use listed::Listed;
pub use ordered::check_acme;

/// After a failed renewal. The disk may be full for a while; the old leaf still has days.
const RENEWAL_PAUSE: Duration = Duration::minutes(10);

/// The certificates of all sites with TLS. Shared by all workers.
#[derive(Default)]
pub struct Store {
    /// In file order.
    sites: Vec<(Subject, Arc<Source>)>,
    /// Those that ask their clients for certificates, with what they take.
    guarded: Vec<(Arc<Source>, Arc<Guard>)>,
    /// Made anew when a certificate with other names comes.
    index: ArcSwap<Index>,
    /// Until someone takes over the watch.
    watched: Mutex<Vec<Watched>>,
    /// Until someone takes over ordering.
    ordered: Mutex<Vec<Ordered>>,
    challenges: Arc<Challenges>,
}

/// Which source answers to a name.
#[derive(Default)]
struct Index {
    exact: HashMap<String, Arc<Source>>,
    /// By the part behind `*.`.
    below: HashMap<String, Arc<Source>>,
    /// In file order.
    addresses: Vec<(IpAddr, Arc<Source>)>,
    any: Option<Arc<Source>>,
}

/// Where a certificate comes from.
pub(super) enum Source {
    Files(ArcSwap<Certified>),
    Local(LocalLeaf),
    /// `None` until the first one comes.
    Acme(ArcSwapOption<Certified>),
}

/// What there is for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Certificate,
    /// Ours, but its first certificate has not come yet.
    NotYet,
    Unknown,
}

pub(super) struct LocalLeaf {
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
        for site in sites {
            let sources: Vec<Arc<Source>> = match &site.tls {
                TlsSpec::Off => continue,
                TlsSpec::Local => {
                    let leaf = |name| local_leaf(name, &site.at, &mut local, state).map_err(|problem| problems.extend(problem)).ok();
                    site.names().filter_map(leaf).collect()
                }
                // One for all names.
                TlsSpec::Files(files) => {
                    let source = store.files(files, site, &mut problems);
                    source.into_iter().flat_map(|source| site.names().map(move |_| source.clone())).collect()
                }
                TlsSpec::Acme(spec) => site.names().filter_map(|name| store.ordered(name, spec, state, &mut problems)).collect(),
            };
            if let Some(guard) = site.client.as_ref().and_then(|spec| store.guard_of(spec, &site.name, &mut problems)) {
                let mut different = sources.clone();
                different.dedup_by(|a, b| Arc::ptr_eq(a, b));
                store.guarded.extend(different.into_iter().map(|source| (source, guard.clone())));
            }
            // If one is missing, that is a problem, and there will be no store.
            store.sites.extend(site.names().map(Subject::of).zip(sources));
        }
        store.reindex();
        if problems.iter().any(CertProblem::is_error) { Err(problems) } else { Ok((store, problems)) }
    }

    /// A certificate of the operator's, which is watched from now on. `None`: something is wrong with it, as told in `problems`.
    fn files(&mut self, files: &CertifiedFiles, site: &Site, problems: &mut Vec<CertProblem>) -> Option<Arc<Source>> {
        let stamp = Stamp::of(&paths(files));
        let (certified, warnings) =
            files::load(files, site.names(), OffsetDateTime::now_utc()).map_err(|found| problems.extend(found)).ok()?;
        problems.extend(warnings);
        let source = Arc::new(Source::Files(ArcSwap::from_pointee(certified)));
        let what = SiteFiles { files: files.clone(), names: site.names().cloned().collect(), source: source.clone() };
        self.watch_from(Watched::new(what, stamp));
        Some(source)
    }

    /// A certificate that is ordered, with the one that is kept from before.
    fn ordered(&mut self, name: &SiteName, spec: &AcmeSpec, state: &Path, problems: &mut Vec<CertProblem>) -> Option<Arc<Source>> {
        let ordered = ordered::of(name, spec, state).map_err(|problem| problems.push(problem)).ok()?;
        let source = ordered.source.clone();
        self.ordered.get_mut().unwrap_or_else(PoisonError::into_inner).push(ordered);
        Some(source)
    }

    /// The same as `files` for what clients must show.
    fn guard_of(&mut self, spec: &ClientCertSpec, site: &SiteName, problems: &mut Vec<CertProblem>) -> Option<Arc<Guard>> {
        let stamp = Stamp::of(&clients::paths(spec));
        let (clients, warnings) = clients::load(spec, site, OffsetDateTime::now_utc()).map_err(|found| problems.extend(found)).ok()?;
        problems.extend(warnings);
        let guard = Guard::new(spec, site, clients);
        self.watch_from(Watched::new(guard.clone(), stamp));
        Some(guard)
    }

    fn watch_from(&mut self, watched: Watched) {
        self.watched.get_mut().unwrap_or_else(PoisonError::into_inner).push(watched);
    }

    /// The certificate for a handshake. `sni` in lower case; `local` is the address the client connected to, which decides
    /// where there is no SNI because the URL has an address. `None`: nothing here answers to that name, or not yet.
    pub fn choose(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<Arc<CertifiedKey>> {
        let index = self.index.load();
        index.find(sni, local)?.certified(OffsetDateTime::now_utc())
    }

    /// Whether `choose` would find one, and if not, why.
    pub fn answer(&self, sni: Option<&str>, local: Option<IpAddr>) -> Answer {
        match self.index.load().find(sni, local).map(|source| &**source) {
            None => Answer::Unknown,
            Some(Source::Acme(current)) if current.load().is_none() => Answer::NotYet,
            Some(_) => Answer::Certificate,
        }
    }

    /// The sites that ask their clients for certificates, with what they take.
    pub fn guarded(&self) -> impl Iterator<Item = &Arc<Guard>> {
        self.guarded.iter().map(|(_, guard)| guard)
    }

    /// The number, in `guarded`, of the site whose certificate `choose` would find.
    pub fn guard(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<usize> {
        if self.guarded.is_empty() {
            return None;
        }
        let index = self.index.load();
        let source = index.find(sni, local)?;
        self.guarded.iter().position(|(guarded, _)| Arc::ptr_eq(guarded, source))
    }

    /// The certificate of the site with this number in `guarded`; `None`: it has not come yet.
    pub fn guarded_certificate(&self, number: usize) -> Option<Arc<CertifiedKey>> {
        self.guarded.get(number)?.0.certified(OffsetDateTime::now_utc())
    }

    /// What CAs are to be shown while certificates are ordered.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The same, but showing CAs what all stores with these challenges show: they may look at any listener.
    #[must_use]
    pub fn showing(self, challenges: &Arc<Challenges>) -> Self {
        Self { challenges: challenges.clone(), ..self }
    }

    /// The keeper of the ACME certificates of stores that show the same challenges; `None` if there are none, or if someone has taken
    /// them over already.
    pub fn acme(stores: &[Arc<Self>]) -> Option<Acme> {
        let taken = |store: &Arc<Self>| std::mem::take(&mut *store.ordered.lock().unwrap_or_else(PoisonError::into_inner));
        let ordered: Vec<Ordered> = stores.iter().flat_map(taken).collect();
        let challenges = stores.first()?.challenges.clone();
        (!ordered.is_empty()).then(|| Acme::new(challenges, ordered))
    }

    /// The addresses that are sites of their own.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.index.load().addresses.iter().map(|(address, _)| *address).collect()
    }

    /// The watch over this store's files; `None` if there are none, or if someone has taken it over already.
    pub fn watch(self: &Arc<Self>) -> Option<Watch> {
        let watched = std::mem::take(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner));
        let store = self.clone();
        Watch::new(watched, move || store.reindex())
    }

    /// Finds anew which names each source answers to.
    fn reindex(&self) {
        let mut index = Index::default();
        for (subject, source) in &self.sites {
            index.insert(subject, source);
        }
        for (subject, source) in &self.sites {
            if let Source::Files(certified) = &**source {
                index.insert_alternatives(subject, &certified.load().coverage, source);
            }
        }
        self.index.store(Arc::new(index));
    }
}

impl Index {
    fn find(&self, sni: Option<&str>, local: Option<IpAddr>) -> Option<&Arc<Source>> {
        match sni {
            Some(name) => self.by_name(name),
            None => self.by_address(local),
        }
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

    fn insert(&mut self, site: &Subject, source: &Arc<Source>) {
        let source = source.clone();
        match site {
            Subject::Any => self.any = Some(source),
            Subject::Ip(ip) => self.addresses.push((*ip, source)),
            Subject::Host(host) => drop(self.exact.insert(host.clone(), source)),
            Subject::Below(suffix) => drop(self.below.insert(suffix.clone(), source)),
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

/// The certificate files of one site.
struct SiteFiles {
    files: CertifiedFiles,
    /// The site's, its own first.
    names: Vec<SiteName>,
    source: Arc<Source>,
}

fn paths(files: &CertifiedFiles) -> Vec<&Path> {
    [Some(&*files.cert), Some(&*files.key), files.ocsp.as_deref()].into_iter().flatten().collect()
}

impl MadeOfFiles for SiteFiles {
    fn name(&self) -> (&'static str, String) {
        ("certificate of", self.names.first().map_or_else(String::new, |name| format!("`{name}`")))
    }

    fn files(&self) -> Vec<&Path> {
        paths(&self.files)
    }

    fn read_again(&self, now: OffsetDateTime) -> Result<Taken, Vec<CertProblem>> {
        let (certified, warnings) = files::load(&self.files, &self.names, now)?;
        let said = format!("new connections get the one that ends on {}", certified.coverage.not_after.date());
        let renamed = self.source.replace(certified);
        Ok(Taken { said, warnings, renamed })
    }
}

/// A leaf for a site's name; `ca` remembers between sites whether the CA could be opened, so that a failure is told once.
fn local_leaf(
    name: &SiteName,
    at: &Location,
    ca: &mut Option<Option<Arc<LocalCa>>>,
    state: &Path,
) -> Result<Arc<Source>, Option<CertProblem>> {
    let problem = |error: super::local_ca::LocalCaError| Some(CertProblem::error(CertProblem::LOCAL_CA, at, format!("local CA: {error}")));
    let ca = match ca {
        Some(opened) => opened.clone().ok_or(None)?,
        None => {
            let opened = LocalCa::open(state).map(Arc::new);
            *ca = Some(opened.as_ref().ok().cloned());
            opened.map_err(problem)?
        }
    };
    let leaf = ca.leaf(name, OffsetDateTime::now_utc()).map_err(problem)?;
    let current = Mutex::new((leaf.key, renewal(&leaf.coverage)));
    Ok(Arc::new(Source::Local(LocalLeaf { ca, site: name.clone(), current })))
}

impl Source {
    fn certified(&self, now: OffsetDateTime) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Files(certified) => Some(certified.load().at(now)),
            Self::Local(leaf) => Some(leaf.certified(now)),
            Self::Acme(_) => self.acme_certificate().map(|certified| certified.key.clone()),
        }
    }

    /// From now on handshakes get this one, if it is the operator's that they get. Whether it has other names than the one before.
    fn replace(&self, certified: Certified) -> bool {
        let Self::Files(current) = self else { return false };
        let old = current.swap(Arc::new(certified));
        old.coverage.dns != current.load().coverage.dns
    }

    /// The ordered certificate, if it has come.
    pub fn acme_certificate(&self) -> Option<Arc<Certified>> {
        match self {
            Self::Acme(current) => current.load_full(),
            Self::Files(_) | Self::Local(_) => None,
        }
    }

    /// From now on handshakes get this one, if it is an ordered one that they get.
    pub fn serve(&self, certified: Certified) {
        if let Self::Acme(current) = self {
            current.store(Some(Arc::new(certified)));
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
