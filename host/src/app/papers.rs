//! The papers of a generation: certificates that are shown, those of upstreams, ticket keys. What is asked for as before is kept, with all that
//! has become of it since: renewed leaves, orders under way, files that were read again, sessions.

use super::prepare::{self, tell};
use crate::certs::{Challenges, Outbound, Store, TicketKeyError, TicketKeys};
use crate::config::{Config, Diagnostic, Location, Placeless, Site, SiteName, TcpSpec, TcpTls, TlsSpec};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cheap to clone.
#[derive(Clone)]
pub struct Papers {
    pub store: Arc<Store>,
    /// Beside the configuration's TCP listeners; for those that end TLS.
    pub tcp_stores: Vec<Option<Arc<Store>>>,
    pub tickets: Arc<TicketKeys>,
    pub outbound: Arc<Outbound>,
    /// What the stores were opened for, the sites' first.
    asked: Arc<Vec<Vec<Site>>>,
    tickets_from: Option<PathBuf>,
}

impl Papers {
    /// Reads, or makes, what is not kept from `earlier`. `None`: something is wrong, which is found.
    pub fn open(config: &Config, state: &Path, earlier: Option<&Self>, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let asked = asked(config);
        let kept = earlier.filter(|earlier| *earlier.asked == asked);
        let stores = match kept {
            Some(kept) => Some((kept.store.clone(), kept.tcp_stores.clone())),
            None => open(config, state, earlier, found),
        };
        let tickets_from = config.server.ticket_keys.as_ref().map(|(directory, _)| directory.clone());
        let tickets = match earlier.filter(|earlier| earlier.tickets_from == tickets_from) {
            Some(kept) => Some(kept.tickets.clone()),
            None => tickets(config, found),
        };
        let outbound = prepare::outbound(config, earlier.map(|earlier| &*earlier.outbound), found).map(Arc::new);
        let (store, tcp_stores) = stores?;
        Some(Self { store, tcp_stores, tickets: tickets?, outbound: outbound?, asked: Arc::new(asked), tickets_from })
    }

    /// All stores.
    pub fn stores(&self) -> Vec<Arc<Store>> {
        self.tcp_stores.iter().flatten().chain([&self.store]).cloned().collect()
    }

    /// Whether handshakes with clients go as with those.
    pub fn shows_as(&self, other: &Self) -> bool {
        self.has_stores_of(other) && Arc::ptr_eq(&self.tickets, &other.tickets)
    }

    /// Whether the certificates are looked after as those are.
    pub fn has_stores_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store)
    }
}

fn asked(config: &Config) -> Vec<Vec<Site>> {
    let without_routes = |site: &Site| Site { routes: Vec::new(), ..site.clone() }.placeless();
    let sites = config.sites.iter().map(without_routes).collect();
    std::iter::once(sites).chain(config.tcp.iter().map(|tcp| certified_names(tcp).placeless())).collect()
}

type Stores = (Arc<Store>, Vec<Option<Arc<Store>>>);

fn open(config: &Config, state: &Path, earlier: Option<&Papers>, found: &mut Vec<Diagnostic>) -> Option<Stores> {
    let before = found.len();
    // Shared by all listeners: a CA looks where its challenge wants, not where the certificate is used. And by all generations: it may look
    // again at what it saw.
    let challenges = earlier.map_or_else(Arc::<Challenges>::default, |earlier| earlier.store.challenges().clone());
    let mut open = |names: &[Site]| match Store::open(names, state) {
        Ok((store, warnings)) => {
            tell(warnings, found);
            Some(Arc::new(store.showing(&challenges)))
        }
        Err(problems) => {
            tell(problems, found);
            None
        }
    };
    let store = open(&config.sites);
    let tcp_stores =
        config.tcp.iter().map(|spec| Some(certified_names(spec)).filter(|names| !names.is_empty()).and_then(|names| open(&names)));
    let tcp_stores = tcp_stores.collect();
    if found.iter().skip(before).any(Diagnostic::is_error) { None } else { Some((store?, tcp_stores)) }
}

fn tickets(config: &Config, found: &mut Vec<Diagnostic>) -> Option<Arc<TicketKeys>> {
    let place = config.server.ticket_keys.as_ref();
    let opened = TicketKeys::open(place.map(|(directory, _)| directory.as_path()));
    // Without a directory, only random bytes can be missing.
    let problem = |error: TicketKeyError| error.problem(&place.map_or_else(Location::nowhere, |(_, at)| at.clone()));
    opened.map_err(|error| tell(vec![problem(error)], found)).ok()
}

/// What a TCP listener that ends TLS needs certificates for, as the sites they would be: the names in `sni`, and with `to` whatever else
/// is asked for.
pub fn certified_names(spec: &TcpSpec) -> Vec<Site> {
    let TcpTls::Terminate { certificate, client, .. } = &spec.tls else { return Vec::new() };
    let mut names: BTreeSet<SiteName> = spec.sni.iter().map(|route| route.name.clone()).collect();
    if spec.to.is_some() {
        names.insert(SiteName::Any);
        let own = spec
            .addresses
            .iter()
            .filter_map(|address| Some(address.ip()?.ip()))
            .filter(|ip| **certificate == TlsSpec::Local && !ip.is_unspecified());
        names.extend(own.map(|ip| SiteName::Exact(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() })));
    }
    let site = |name| Site {
        name,
        aliases: Vec::new(),
        tls: (**certificate).clone(),
        client: client.clone(),
        routes: Vec::new(),
        at: spec.at.clone(),
    };
    names.into_iter().map(site).collect()
}
