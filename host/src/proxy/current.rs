//! A snapshot as one worker holds it: with filters and upstreams of its own, and copies of what every exchange takes along, so that
//! workers do not count references on each other's cache lines.

use super::failure::Failure;
use super::snapshot::ClientCertEntry;
use super::{Missed, Router, SiteEntry, Snapshot, Terms};
use crate::chain::{Audience, Chain, Filter, GoingOut, Stretches, Walk};
use crate::message::{ClientAuth, Connection, RequestHead, Scheme, authority};
use crate::observe::{RouteTally, Tracer, WorkerTally};
use crate::upstream::Upstreams;
use bytestring::ByteString;
use http::HeaderValue;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Held by each exchange until its end, so that a reload changes nothing for it.
pub(super) struct Current<F: Filter> {
    pub snapshot: Arc<Snapshot>,
    /// Indexed by the links of every chain.
    pub filters: Rc<[Rc<F>]>,
    pub upstreams: Rc<Upstreams>,
    /// `None`: nothing is traced.
    pub tracer: Option<Rc<Tracer>>,
    /// The snapshot's.
    router: Router,
    /// Its time is over: exchanges that still wait for a response get none.
    over: Cell<bool>,
    /// Beside the router's routes; looked up when a route takes its first request, so that only routes that are used cost anything.
    tallies: Box<[OnceCell<Arc<RouteTally>>]>,
    /// Beside the snapshot's terms.
    terms: Box<[TermsHere<F>]>,
    stretches: RefCell<Known<F::Stretch>>,
}

/// Terms, likewise.
struct TermsHere<F: Filter> {
    destination: Option<Destination>,
    /// Of all links of the chain.
    going_out: GoingOut,
    /// `None`: no link wants to be told of ends.
    audience: Option<Rc<Audience<F>>>,
    /// Found when its route takes its first request.
    stretches: OnceCell<Rc<Stretches<F::Stretch>>>,
}

/// Those of this worker, by the filters of a chain that may be part of one: most routes have the chain of their site.
type Known<S> = HashMap<Box<[Option<usize>]>, Rc<Stretches<S>>>;

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
    pub terms: &'c Terms,
    /// Their index.
    pub terms_index: usize,
    /// What links want beyond heads.
    pub going_out: GoingOut,
    tally: &'c OnceCell<Arc<RouteTally>>,
    /// `None`: a link must answer.
    pub destination: Option<&'c Destination>,
    /// What the site asks of its clients.
    pub client: Option<ClientCertEntry>,
}

impl Place<'_> {
    /// Of the route, in this worker's numbers.
    pub fn tally(&self, worker: &WorkerTally) -> &Arc<RouteTally> {
        self.tally.get_or_init(|| worker.route(&self.site, &self.route))
    }
}

impl<F: Filter> Current<F> {
    pub fn new(snapshot: Arc<Snapshot>, filters: Rc<[Rc<F>]>, upstreams: Rc<Upstreams>, tracer: Option<Tracer>) -> Self {
        let router = snapshot.router.copy();
        let tallies = (0..router.routes()).map(|_| OnceCell::new()).collect();
        let terms = |terms: &Terms| {
            let going_out = going_out(&terms.chain, &filters);
            TermsHere {
                destination: terms.to.as_ref().and_then(|to| Destination::of(&upstreams, to.0.as_str().into())),
                going_out,
                audience: going_out.done.then(|| Rc::new(Audience::of(&terms.chain, &filters))),
                stretches: OnceCell::new(),
            }
        };
        let terms = snapshot.terms.iter().map(terms).collect();
        let tracer = tracer.map(Rc::new);
        Self { snapshot, filters, upstreams, tracer, router, over: Cell::new(false), tallies, terms, stretches: RefCell::default() }
    }
}

fn going_out<F: Filter>(chain: &Chain, filters: &[Rc<F>]) -> GoingOut {
    let of = chain.links.iter().filter_map(|link| filters.get(link.filter)).map(|filter| filter.going_out());
    of.fold(GoingOut::default(), GoingOut::or)
}

impl<F: Filter> Current<F> {
    /// From now on exchanges fail where they wait, once they are polled.
    pub fn end(&self) {
        self.over.set(true);
    }

    /// What `wait` leads to, unless the snapshot's time is over before.
    pub fn within<'a, T>(&'a self, mut wait: Pin<&'a mut impl Future<Output = T>>) -> impl Future<Output = Result<T, Failure>> + 'a {
        poll_fn(move |cx| match wait.as_mut().poll(cx) {
            Poll::Pending if self.over.get() => Poll::Ready(Err(Failure::Outlived)),
            polled => polled.map(Ok),
        })
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
        let found = self.router.site(authority::host(&head.authority)).ok_or(Failure::NoSite)?;
        let SiteEntry { tls, client } = found.entry;
        match (tls, head.scheme) {
            (true, Scheme::Http) => return Err(Failure::Insecure(secure_location(head, self.snapshot.https_port))),
            (false, Scheme::Https) => return Err(Failure::Misdirected),
            _ => {}
        }
        let site = self.router.name(found);
        let asked = connection.tls.as_ref().and_then(|tls| tls.client.as_ref());
        if !accepts(&site, client, asked) {
            return Err(Failure::OtherClientAuth);
        }
        let index = self.router.route(found.site, head)?.route;
        let (Some((route, terms_index)), Some(tally)) = (self.router.entry(index), self.tallies.get(index)) else {
            return Err(Failure::NoRoute);
        };
        let Some((terms, TermsHere { destination, going_out, .. })) = self.snapshot.terms.get(terms_index).zip(self.terms.get(terms_index))
        else {
            return Err(Failure::NoRoute);
        };
        let (going_out, destination) = (*going_out, destination.as_ref());
        Ok(Place { site, route, terms, terms_index, going_out, tally, destination, client })
    }

    /// Whether whoever is at the other end may say where a request comes from, and what is traced.
    pub fn trusts(&self, connection: &Connection) -> bool {
        self.snapshot.trusted_proxies.include((!connection.unix).then(|| connection.peer.ip()))
    }

    /// Who is told how an exchange on these terms ended.
    pub fn audience(&self, terms_index: usize) -> Option<&Rc<Audience<F>>> {
        self.terms.get(terms_index).and_then(|terms| terms.audience.as_ref())
    }

    /// The walk along the chain of a place.
    pub fn walk<'c>(&'c self, place: &Place<'c>) -> Walk<'c, F> {
        let chain = &place.terms.chain;
        let walk = Walk::new(chain, &self.filters);
        match self.terms.get(place.terms_index) {
            Some(here) => walk.along(here.stretches.get_or_init(|| self.stretches(chain))),
            None => walk,
        }
    }

    fn stretches(&self, chain: &Chain) -> Rc<Stretches<F::Stretch>> {
        let mut known = self.stretches.borrow_mut();
        let found = known.entry(chain.unconditional()).or_insert_with(|| Rc::new(Stretches::of(chain, &self.filters)));
        Rc::clone(found)
    }

    pub fn knows(&self, upstream: &str) -> bool {
        self.upstreams.index(upstream).is_some()
    }

    /// The upstream that a link named.
    pub fn destination(&self, name: ByteString) -> Option<Destination> {
        Destination::of(&self.upstreams, name)
    }
}

impl Destination {
    fn of(upstreams: &Upstreams, name: ByteString) -> Option<Self> {
        upstreams.index(&name).map(|index| Self { index, name })
    }
}

fn secure_location(head: &RequestHead, https_port: u16) -> HeaderValue {
    // Authority, path and query were checked; none has a byte that a field value must not have.
    HeaderValue::try_from(head.secure_location(https_port)).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

/// Whether the handshake asked the client for what this site asks, no more and no less. A connection that was made for another site may
/// well carry a request for this one (HTTP/2 reuses connections between names that share a certificate; and anyone can send any
/// `Host`), and what that site's CA has vouched for means nothing here.
fn accepts(site: &str, client: Option<ClientCertEntry>, asked: Option<&ClientAuth>) -> bool {
    match (client, asked) {
        (None, None) => true,
        (Some(client), Some(asked)) => *asked.site == *site && (asked.identity.is_some() || !client.require),
        _ => false,
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
