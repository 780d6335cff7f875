//! One loaded configuration as the corridor needs it: shared by all workers, changed by none.

use super::Router;
use crate::chain::{Chain, Link};
use crate::config::{
    AccessLog, AccessRules, ClientCertForward, Config, InjectedFaults, Limits, LinkSpec, MirrorSpec, Peers, RetrySpec, Route,
    RouteTimeouts, Site, TlsSpec, UpstreamName,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Immutable; a reload makes another with the next generation.
#[derive(Debug)]
pub struct Snapshot {
    pub generation: u64,
    pub router: Router,
    /// What the router's routes lead to.
    pub terms: Box<[Terms]>,
    pub limits: Limits,
    pub trusted_proxies: Peers,
    pub access_log: AccessLog,
    pub access_rules: Arc<AccessRules>,
    /// Where sites with TLS are served; requests in the clear are sent there.
    pub https_port: u16,
    /// What CAs are shown in the clear, whatever the sites say; `None`: no site needs it.
    pub proofs: Option<Proofs>,
}

/// From the path of a request in the clear to the body of its answer, if it is a CA that looks whether a name is ours.
#[derive(Clone)]
pub struct Proofs(pub Arc<ProofOf>);

type ProofOf = dyn Fn(&str) -> Option<String> + Send + Sync;

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proofs")
    }
}

/// What is needed of a site once it is found.
#[derive(Debug, Clone, Copy)]
pub struct SiteEntry {
    /// Whether it is served over TLS only; otherwise in the clear only.
    pub tls: bool,
    /// Which clients it takes; `None`: it does not ask.
    pub client: Option<ClientCertEntry>,
}

/// What is left of a site's `client` table once the handshake is over.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertEntry {
    pub require: bool,
    pub forward: Option<ClientCertForward>,
}

/// On which terms a route passes requests on. Routes without links, mirrors and faults whose terms are equal share one, which so stays in the cache.
#[derive(Debug)]
pub struct Terms {
    pub chain: Chain,
    pub to: Option<UpstreamName>,
    pub timeouts: RouteTimeouts,
    pub retry: RetrySpec,
    /// Boxed, as it is rare: terms should stay small.
    pub mirror: Option<Box<MirrorSpec>>,
    pub injected: Option<Box<InjectedFaults>>,
}

impl Snapshot {
    /// `filter` gives the index of a link's filter in each worker's list; links of equal plugin and settings may share one.
    pub fn new(generation: u64, config: &Config, mut filter: impl FnMut(&LinkSpec) -> usize) -> Self {
        let mut terms = TermsBuilder::default();
        let router = Router::new(&config.sites, |route| terms.index(route, &mut filter));
        Self {
            generation,
            router,
            terms: terms.all.into(),
            limits: config.limits.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            access_log: config.server.access_log,
            access_rules: Arc::clone(&config.server.access_rules),
            https_port: config.listen.https_port(),
            proofs: None,
        }
    }

    /// The same, showing these to CAs.
    #[must_use]
    pub fn showing(self, proofs: Option<Proofs>) -> Self {
        Self { proofs, ..self }
    }
}

impl SiteEntry {
    pub(super) fn new(site: &Site) -> Self {
        let client = site.client.as_ref().map(|spec| ClientCertEntry { require: spec.require, forward: spec.forward });
        Self { tls: site.tls != TlsSpec::Off, client }
    }
}

#[derive(Default)]
struct TermsBuilder<'c> {
    all: Vec<Terms>,
    /// Of routes without links, mirrors and faults.
    shared: HashMap<(Option<&'c UpstreamName>, RouteTimeouts, &'c RetrySpec), u32>,
}

impl<'c> TermsBuilder<'c> {
    fn index(&mut self, route: &'c Route, filter: &mut impl FnMut(&LinkSpec) -> usize) -> u32 {
        let next = u32::try_from(self.all.len()).expect("fewer than 2^32 routes fit in memory");
        if route.chain.is_empty() && route.mirror.is_none() && route.injected.is_none() {
            let known = *self.shared.entry((route.to.as_ref(), route.timeouts, &route.retry)).or_insert(next);
            if known < next {
                return known;
            }
        }
        let link = |spec: &LinkSpec| Link { filter: filter(spec), when: spec.when.clone().map(Arc::new), spec: Arc::new(spec.clone()) };
        let chain = Chain { links: route.chain.iter().map(link).collect() };
        let (mirror, injected) = (route.mirror.clone().map(Box::new), route.injected.clone().map(Box::new));
        self.all.push(Terms { chain, to: route.to.clone(), timeouts: route.timeouts, retry: route.retry.clone(), mirror, injected });
        next
    }
}
