//! Going out: picks a server, takes a pooled connection or makes one, sends the request and hands back the response as it comes.
//!
//! One set per worker and snapshot: nothing here is shared between threads, so there are no locks. A request is driven by whoever
//! polls it: no task, no channel. Knows nothing of routes, links or statuses.
//!
//! In reading order: `send` (one request, its attempts), `hedge` (two at once), `line` (the connections it gets), `guide` (who has a say in that), `discovery` (which servers there are, where names are written), `server` (choosing one), `hash` (by key), `sticky` (by cookie), `drains` (those that are taken out), `standing` (how it has done), `health` (how it does when it is looked at), `seats` (how many connections there may be), `pool`, `connect`, `inside` (servers within this process), `announce` (for whom), `tls`, `io` (what a
//! connection is made of), `channel` (one with its buffers), `transfer` (a request on it until the response head), `pump` (the request body), `body` (the response body), `switched`; `h2` (the same over HTTP/2).

mod announce;
mod body;
mod channel;
mod clock;
mod connect;
mod discovery;
mod drains;
mod error;
mod guide;
mod h2;
mod hash;
mod health;
mod hedge;
mod inside;
mod io;
mod line;
mod pool;
mod probe;
mod pump;
mod seats;
mod send;
mod server;
mod standing;
mod sticky;
mod switched;
mod tls;
mod transfer;

pub use body::Body;
pub use discovery::{Discovery, Found, LookUp, Query, Sets, found_once, seconds_since, seconds_until};
pub use drains::Drains;
pub use error::{Failed, SendError};
pub use guide::{Guide, Halted, Judged};
pub use health::HealthBoard;
pub use inside::{FAILED, Inside, InsideFault, Insides};
pub use probe::{Probed, ProbedTls, probe};
pub use seats::Seats;
pub use sticky::Seal;

use crate::certs::Outbound;
use crate::config::{Limits, RetrySpec, UpstreamName, UpstreamSpec};
use crate::message::{BodyError, Connection, Duplex, Interim, RequestHead, ResponseHead, Switched};
use crate::observe::WorkerTally;
use crate::wire::{Deadline, HeadLimits};
use bytes::Bytes;
use http::HeaderValue;
use server::Upstream;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep_until};

/// All upstreams of a snapshot, as one worker knows them.
pub struct Upstreams {
    /// In the order of their names.
    upstreams: Vec<Slot>,
    settings: Settings,
    /// Rings when somebody waits for a connection.
    wanted: Arc<Notify>,
    /// Runs from the first request on, and ends with this.
    sweeper: OnceCell<AbortHandle>,
}

/// The place of an upstream, whose servers may come and go.
struct Slot {
    name: Rc<str>,
    now: RefCell<Rc<Upstream>>,
}

/// What all workers of a generation have in common.
#[derive(Clone, Copy)]
pub struct Shared<'s> {
    /// Servers that are down are not used.
    pub board: &'s HealthBoard,
    /// Those that are taken out are not used either.
    pub drains: &'s Drains,
    /// How many connections servers have.
    pub seats: &'s Seats,
    /// Of cookies that name servers.
    pub seal: &'s Seal,
    /// How many there are; they share limits out among them.
    pub workers: u16,
}

/// A request on its way out.
pub struct Outgoing<'a, B> {
    /// As the chain left it; hop-by-hop fields are gone.
    pub head: &'a RequestHead,
    pub body: B,
    /// The `Upgrade` field to send along with `Connection: upgrade`.
    pub upgrade: Option<HeaderValue>,
    /// Where interim responses go.
    pub interim: Interim,
    pub times: Times,
    /// Whose request it is, for upstreams whose connections belong to one client.
    pub client: &'a Rc<Connection>,
    /// The client's address, after `Forwarded` from trusted peers.
    pub from: IpAddr,
    /// Who else has a say in it.
    pub guide: Option<&'a dyn Guide>,
    /// Kept up to date while the request is on its way, for whoever wants to know also if it is given up.
    pub trail: Option<Rc<RefCell<Attempt>>>,
    /// When it is tried again; `None`: as where nothing is written.
    pub retry: Option<&'a RetrySpec>,
}

/// How long an origin may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the request's end to the response head.
    pub response: Duration,
    /// Between two pieces of the response body, and for taking a piece of the request body.
    pub idle: Duration,
    /// When the whole exchange must be over.
    pub total: Option<Instant>,
}

/// The response to a request.
pub struct Answered<B> {
    /// Framing fields are gone (`Content-Length` stays where it only describes: HEAD, 304); hop-by-hop fields are still there.
    pub head: ResponseHead,
    pub content: Content<B>,
    pub attempt: Attempt,
}

/// What follows a response head.
pub enum Content<B> {
    Body(Body<B>),
    /// After 101: the connection speaks another protocol now.
    Switched(Switched),
}

/// A connection to a server that carries whatever its user likes. Counts as running on the server until it is dropped.
pub struct Opened {
    pub io: OpenedIo,
    pub held: Held,
    pub attempt: Attempt,
}

/// Its bytes: on a TCP socket, or by way of TLS or a Unix socket.
pub enum OpenedIo {
    Socket(TcpStream),
    Stream(Box<dyn Duplex>),
}

/// A place in the count of what runs on a server; keep it as long as the connection.
pub struct Held {
    _ticket: server::Ticket,
    _seat: Option<seats::Seat>,
}

/// What was tried, for the log.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// `host:port` of the last server tried.
    pub server: Option<Rc<str>>,
    /// How many times a server was tried; 1 is the usual.
    pub attempts: u32,
    /// What made it that one (`p2c`, `sticky`, `plugin` …); `None`: there is no other.
    pub chosen: Option<&'static str>,
    /// Servers that did not come into question, each with the reason.
    pub passed_over: Option<Rc<str>>,
    /// What was spoken there, by its name in ALPN: `http/1.1`, `h2`, and `h2c` for HTTP/2 in the clear. `None`: no connection was made, or what it
    /// carries is not looked at.
    pub spoken: Option<&'static str>,
    /// The connection came from the pool.
    pub reused: bool,
    /// For making the connection; zero if it came from the pool.
    pub connect: Duration,
    /// From the call to the response head.
    pub first_byte: Duration,
}

/// What holds for all upstreams of a snapshot.
struct Settings {
    heads: HeadLimits,
    connect: Duration,
    connect_tls: Duration,
    retries: u32,
    /// Per cent.
    retry_budget: u32,
}

impl Upstreams {
    /// For one worker, by itself; specs, limits and what TLS needs of one snapshot.
    pub fn new(specs: &BTreeMap<UpstreamName, UpstreamSpec>, tls: &Outbound, limits: &Limits) -> Rc<Self> {
        let seal = Seal::random().unwrap_or_else(|| Seal::new(&[]));
        let (board, drains, seats) = (HealthBoard::default(), Drains::default(), Seats::default());
        Self::counting(specs, tls, limits, None, Shared { board: &board, drains: &drains, seats: &seats, seal: &seal, workers: 1 })
    }

    /// The same, counted in the worker's numbers, for one of several workers.
    pub fn counting(
        specs: &BTreeMap<UpstreamName, UpstreamSpec>,
        tls: &Outbound,
        limits: &Limits,
        tally: Option<&WorkerTally>,
        shared: Shared<'_>,
    ) -> Rc<Self> {
        Self::after(None, specs, tls, limits, (tally, shared))
    }

    /// The same for the next snapshot: what has not changed is shared with this one, idle connections, counts of what runs and
    /// what is thought of servers included.
    pub fn succeed(
        &self,
        specs: &BTreeMap<UpstreamName, UpstreamSpec>,
        tls: &Outbound,
        limits: &Limits,
        tally: Option<&WorkerTally>,
        shared: Shared<'_>,
    ) -> Rc<Self> {
        Self::after(Some(self), specs, tls, limits, (tally, shared))
    }

    fn after(
        earlier: Option<&Self>,
        specs: &BTreeMap<UpstreamName, UpstreamSpec>,
        tls: &Outbound,
        limits: &Limits,
        (tally, Shared { board, drains, seats, seal, workers }): (Option<&WorkerTally>, Shared<'_>),
    ) -> Rc<Self> {
        let heads = HeadLimits { start_line: limits.request_line, fields: limits.header_bytes, count: limits.header_count };
        let Limits { connect, connect_tls, retries, retry_budget, .. } = *limits;
        let settings = Settings { heads, connect, connect_tls, retries, retry_budget };
        // A map in the order of names, so an index is a place in it.
        let tally = |name: &UpstreamName| tally.map(|worker| worker.upstream(&name.0)).unwrap_or_default();
        let upstream = |(name, spec): (&UpstreamName, &UpstreamSpec)| {
            let earlier = earlier.and_then(|earlier| earlier.now(earlier.index(&name.0)?));
            let found = (spec, tls.servers(name, &spec.servers));
            let kept = (board.of(name), drains.of(&name.0), seats.of(&name.0));
            Upstream::after(earlier.as_ref(), &name.0, found, limits, (tally(name), kept, (seal, workers)))
        };
        let upstreams =
            specs.iter().map(upstream).map(|upstream| Slot { name: Rc::clone(&upstream.name), now: RefCell::new(upstream) }).collect();
        Rc::new(Self { upstreams, settings, wanted: seats.wanted(), sweeper: OnceCell::new() })
    }

    /// Puts the servers within this process in their places. To be called before the first request.
    pub fn place(&self, insides: &Insides<'_>) {
        for slot in &self.upstreams {
            slot.now.borrow().place(insides);
        }
    }

    /// Other servers, for upstreams whose servers are found by name: who is under way goes on as it began, those that stay are kept with all
    /// that is theirs, and those that are gone end with their last request. `specs`: of the same upstreams.
    pub fn refill(
        &self,
        specs: &BTreeMap<UpstreamName, UpstreamSpec>,
        tls: &Outbound,
        limits: &Limits,
        Shared { board, drains, seats, seal, workers }: Shared<'_>,
        insides: &Insides<'_>,
    ) {
        for (name, spec) in specs {
            let Some(slot) = self.index(&name.0).and_then(|index| self.upstreams.get(index)) else { continue };
            let earlier = Rc::clone(&slot.now.borrow());
            if !earlier.is_found_by_name() && !spec.servers.iter().any(|server| server.found_by.is_some()) {
                continue;
            }
            let (tally, found) = (Arc::clone(earlier.tally()), (spec, tls.servers(name, &spec.servers)));
            let kept = (board.of(name), drains.of(&name.0), seats.of(&name.0));
            let next = Upstream::after(Some(&earlier), &name.0, found, limits, (tally, kept, (seal, workers)));
            next.place(insides);
            slot.now.replace(next);
        }
    }

    fn each(&self, tend: impl Fn(&Upstream)) {
        self.upstreams.iter().for_each(|slot| tend(&slot.now.borrow()));
    }

    fn now(&self, index: usize) -> Option<Rc<Upstream>> {
        self.upstreams.get(index).map(|slot| Rc::clone(&slot.now.borrow()))
    }

    /// For [`Self::send`]; look it up once per snapshot, not per request.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.upstreams.binary_search_by(|slot| (*slot.name).cmp(name)).ok()
    }

    pub fn name(&self, upstream: usize) -> Option<&Rc<str>> {
        self.upstreams.get(upstream).map(|slot| &slot.name)
    }

    /// Sends a request to a server of the upstream. Dropping the future, or the body it led to, closes the connection: the origin
    /// learns that nobody waits any more.
    ///
    /// # Errors
    /// If there is no response head; a body that fails later says so itself.
    ///
    /// # Panics
    /// If `upstream` is not from [`Self::index`] of this set, or outside of a runtime that takes local tasks.
    pub async fn send<B>(self: &Rc<Self>, upstream: usize, outgoing: Outgoing<'_, B>) -> Result<Answered<B>, Failed>
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
    {
        let upstream = &self.now(upstream).expect("an index of this set");
        self.sweeper.get_or_init(|| spawn_local(sweep(Rc::downgrade(self), Arc::clone(&self.wanted))).abort_handle());
        let mut attempt = Attempt::default();
        upstream.asked();
        let sent = send::send(upstream, &self.settings, outgoing, &mut attempt).await;
        upstream.count(&attempt, sent.as_ref().err());
        sent.map_err(|error| Failed { error, attempt })
    }
}

impl Upstreams {
    /// Connects to a server of the upstream: balanced, tried again on another server and limited in time as for requests, but with a
    /// connection that is never pooled. `client`: for whom, where the server wants to be told.
    ///
    /// # Errors
    /// If no connection can be made.
    ///
    /// # Panics
    /// If `upstream` is not from [`Self::index`] of this set.
    pub async fn open(&self, upstream: usize, client: &Rc<Connection>) -> Result<Opened, Failed> {
        let upstream = &self.now(upstream).expect("an index of this set");
        let mut attempt = Attempt::default();
        upstream.asked();
        let opened = send::open(upstream, &self.settings, client, &mut attempt).await;
        upstream.count(&attempt, opened.as_ref().err());
        match opened {
            Ok((io, (ticket, seat))) => Ok(Opened { io: io.into(), held: Held { _ticket: ticket, _seat: seat }, attempt }),
            Err(error) => Err(Failed { error, attempt }),
        }
    }
}

impl Drop for Upstreams {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
    }
}

/// Closes idle connections past their time, also of servers that get no requests; and those for whose seats somebody waits elsewhere.
async fn sweep(upstreams: Weak<Upstreams>, wanted: Arc<Notify>) {
    let mut next = Instant::now() + pool::SWEEP;
    loop {
        let mut rung = pin!(wanted.notified());
        // Heard from now on: who begins to wait after our look rings again.
        rung.as_mut().enable();
        if upstreams.upgrade().map(|upstreams| upstreams.each(Upstream::give_up_seats)).is_none() {
            return;
        }
        // Neither has done anything when it is dropped.
        tokio::select! {
            () = rung => {}
            () = sleep_until(next) => {
                let now = Instant::now();
                next = now + pool::SWEEP;
                upstreams.upgrade().iter().for_each(|upstreams| upstreams.each(|upstream| upstream.sweep(now)));
            }
        }
    }
}

impl Times {
    /// The same, over at the latest in so long from now.
    #[must_use]
    pub fn within(self, limit: Option<Duration>) -> Self {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { total: end.into_iter().chain(self.total).min(), ..self }
    }

    /// Sets `deadline` to `limit` from `now` on, or to the end of the exchange if that comes first.
    fn arm(&self, deadline: &mut Deadline, limit: Option<Duration>, now: Option<Instant>) {
        let limit = limit.map(|limit| now.unwrap_or_else(Instant::now) + limit);
        match limit.into_iter().chain(self.total).min() {
            Some(at) => deadline.set(at),
            None => deadline.clear(),
        }
    }

    /// Whether a deadline that expired was that of the whole exchange.
    fn is_over(&self, expired: &Deadline) -> bool {
        self.total.is_some() && self.total == expired.at()
    }
}

#[cfg(test)]
mod tests;
