//! A snapshot as one worker holds it: with filters and upstreams of its own, and copies of what every exchange takes along, so that
//! workers do not count references on each other's cache lines.

use super::failure::Failure;
use super::snapshot::ClientCertEntry;
use super::{Missed, RouteEntry, Snapshot};
use crate::config::UpstreamName;
use crate::message::{ClientAuth, Connection, RequestHead, Scheme, authority};
use crate::upstream::Upstreams;
use bytestring::ByteString;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Held by each exchange until its end, so that a reload changes nothing for it.
pub(super) struct Current<F> {
    pub snapshot: Arc<Snapshot>,
    /// Indexed by the links of every chain.
    pub filters: Rc<[F]>,
    pub upstreams: Rc<Upstreams>,
    /// Beside the snapshot's sites.
    sites: Box<[SiteHere]>,
    /// Beside the snapshot's routes.
    routes: Box<[(ByteString, Option<Destination>)]>,
}

/// A site as a worker has it at hand.
struct SiteHere {
    name: ByteString,
    tls: bool,
    client: Option<ClientCertEntry>,
}

/// An upstream.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    /// For [`Upstreams::send`].
    pub index: usize,
    pub name: ByteString,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Place<'c> {
    pub site: ByteString,
    pub route: ByteString,
    pub entry: &'c RouteEntry,
    /// `None`: a link must answer.
    pub destination: Option<Destination>,
    /// What the site asks of its clients.
    pub client: Option<ClientCertEntry>,
}

impl<F> Current<F> {
    pub fn new(snapshot: Arc<Snapshot>, filters: Rc<[F]>, upstreams: Rc<Upstreams>) -> Self {
        // Parts of one text: its reference count is in the cache, each site's own would not be.
        let names = snapshot.sites.iter().map(|site| site.name.as_str());
        let patterns = snapshot.routes.iter().map(|route| route.pattern.as_str());
        let mut texts = parts(names.chain(patterns)).into_iter();
        let sites = texts.by_ref().zip(&snapshot.sites).map(|(name, site)| SiteHere { name, tls: site.tls, client: site.client }).collect();
        // One text for all routes to an upstream.
        let mut known = BTreeMap::new();
        let mut destination = |name: &UpstreamName| {
            let name = known.entry(name.clone()).or_insert_with(|| ByteString::from(name.0.as_str())).clone();
            upstreams.index(&name).map(|index| Destination { index, name })
        };
        let routes = texts.zip(&snapshot.routes).map(|(pattern, route)| (pattern, route.to.as_ref().and_then(&mut destination))).collect();
        Self { snapshot, filters, upstreams, sites, routes }
    }

    /// Step 6, and before it what is answered whatever the sites say.
    pub fn arrive_at(&self, head: &RequestHead, connection: &Connection) -> Result<Place<'_>, Failure> {
        if let (Some(proofs), Scheme::Http) = (&self.snapshot.proofs, head.scheme)
            && let Some(proof) = proofs.0(&head.path)
        {
            return Err(Failure::Proof(proof));
        }
        self.place(head, connection)
    }

    /// The route that takes the request, if its site is served the way the request came.
    fn place(&self, head: &RequestHead, connection: &Connection) -> Result<Place<'_>, Failure> {
        let router = &self.snapshot.router;
        let site = router.site(authority::host(&head.authority)).ok_or(Failure::NoSite)?;
        let here = self.sites.get(site).ok_or(Failure::NoSite)?;
        let SiteHere { name, tls, client } = here;
        match (tls, head.scheme) {
            (true, Scheme::Http) => return Err(Failure::Insecure(secure_location(head, self.snapshot.https_port))),
            (false, Scheme::Https) => return Err(Failure::Misdirected),
            _ => {}
        }
        let asked = connection.tls.as_ref().and_then(|tls| tls.client.as_ref());
        if !here.accepts(asked) {
            return Err(Failure::OtherClientAuth);
        }
        let index = router.route(site, head).map_err(Failure::from)?.route;
        let (Some(entry), Some((pattern, destination))) = (self.snapshot.routes.get(index), self.routes.get(index)) else {
            return Err(Failure::NoRoute);
        };
        Ok(Place { site: name.clone(), route: pattern.clone(), entry, destination: destination.clone(), client: *client })
    }

    pub fn knows(&self, upstream: &str) -> bool {
        self.upstreams.index(upstream).is_some()
    }

    /// The upstream that a link named.
    pub fn destination(&self, name: ByteString) -> Option<Destination> {
        self.upstreams.index(&name).map(|index| Destination { index, name })
    }
}

fn secure_location(head: &RequestHead, https_port: u16) -> HeaderValue {
    // Authority, path and query were checked; none has a byte that a field value must not have.
    HeaderValue::try_from(head.secure_location(https_port)).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

/// Texts that share one buffer and so one count of references.
fn parts<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Vec<ByteString> {
    let whole = ByteString::from(texts.clone().collect::<String>());
    let mut from = 0;
    texts
        .map(|text| {
            let part = whole.slice_ref(whole.get(from..from + text.len()).unwrap_or_default());
            from += text.len();
            part
        })
        .collect()
}

impl SiteHere {
    /// Whether the handshake asked the client for what this site asks, no more and no less. A connection that was made for another site
    /// may well carry a request for this one (HTTP/2 reuses connections between names that share a certificate; and anyone can send
    /// any `Host`), and what that site's CA has vouched for means nothing here.
    fn accepts(&self, asked: Option<&ClientAuth>) -> bool {
        match (&self.client, asked) {
            (None, None) => true,
            (Some(client), Some(asked)) => *asked.site == *self.name && (asked.identity.is_some() || !client.require),
            _ => false,
        }
    }
}

impl From<Missed> for Failure {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Site => Self::NoSite,
            Missed::Route { .. } => Self::NoRoute,
        }
    }
}
