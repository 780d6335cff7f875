//! The HTTP corridor: one request in, one answer out. Knows what to do in which order; how each step is done stands in its file.
//!
//! In reading order: `inbound` (what may be believed), `current` and `router` (where it goes), `departure` and `times` (on
//! which way), `guide` (what links say to that), `inject` (what goes wrong on purpose), `mirror` (who else gets it), `outbound` (what goes back), `body`, `carried` and `upgrade` (what follows the head),
//! `failure` (what is said when something is wrong), `ids` and `exchange` (which exchange it is, and the end of it all), `record` (what is
//! said then), `farewell` (who is told of it). `grpc` is what clients of that expect besides.

mod body;
mod carried;
mod current;
mod departure;
mod dice;
mod exchange;
mod explain;
mod failure;
mod farewell;
mod grpc;
mod guide;
mod ids;
mod inbound;
mod inject;
mod mirror;
mod outbound;
mod paths;
mod record;
mod router;
mod snapshot;
mod times;
mod upgrade;

pub use body::{RequestBody, ResponseBody};
pub use explain::{Explanation, Finding, explain};
pub use failure::{Failure, REASONS, Reason};
pub use router::{Found, Missed, Router, SiteFound};
pub use snapshot::{Proofs, SiteEntry, Snapshot, Terms};

use crate::chain::{Aborted, Failing, Fault, Filter, Link};
use crate::message::{Answer, BodyError, Connection, Malformed, Received};
use crate::observe::access::AccessWriter;
use crate::observe::{Tracer, WorkerTally};
use crate::upstream::Upstreams;
use bytes::Bytes;
use carried::Carried;
use current::{Current, Place};
use departure::Departure;
use exchange::{Guard, Ledger};
use farewell::Farewell;
use http::Method;
use http_body::Body;
use ids::Ids;
use inbound::Inbound;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// One worker's corridor. `F` is what the links of its chains run.
pub struct Proxy<F: Filter> {
    current: RefCell<Rc<Current<F>>>,
    ids: Ids,
    ledger: Rc<Ledger>,
}

impl<F: Filter + 'static> Proxy<F> {
    /// `worker` is its number in the process; `tally` is where it counts, if anybody collects numbers; `filters` are those that the snapshot's links index; without `tracer` nothing is traced.
    pub fn new(
        worker: u16,
        (access, tally): (AccessWriter, Option<Arc<WorkerTally>>),
        snapshot: Arc<Snapshot>,
        filters: impl Into<Rc<[Rc<F>]>>,
        upstreams: Rc<Upstreams>,
        tracer: Option<Tracer>,
    ) -> Rc<Self> {
        access.turn(&snapshot.access_rules);
        let current = RefCell::new(Rc::new(Current::new(snapshot, filters.into(), upstreams, tracer)));
        Rc::new(Self { current, ids: Ids::new(worker), ledger: Ledger::new(access, tally) })
    }

    /// Exchanges that begin from now on see this snapshot; others end with the one they began with, which is returned.
    pub fn install(
        &self,
        snapshot: Arc<Snapshot>,
        filters: impl Into<Rc<[Rc<F>]>>,
        upstreams: Rc<Upstreams>,
        tracer: Option<Tracer>,
    ) -> Outgoing<F> {
        self.ledger.turn(&snapshot.access_rules);
        let earlier = self.current.replace(Rc::new(Current::new(snapshot, filters.into(), upstreams, tracer)));
        Outgoing(Rc::downgrade(&earlier))
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow().snapshot)
    }

    /// Exchanges that are not over, upgraded connections included.
    pub fn active(&self) -> usize {
        self.ledger.active.get()
    }

    /// Answers one request. Dropping the future ends the exchange: the client is gone.
    pub fn handle<B>(
        self: Rc<Self>,
        connection: Rc<Connection>,
        received: Result<Received<B>, Malformed>,
    ) -> impl Future<Output = Answer<ResponseBody<B>>>
    where
        B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
    {
        let current = Rc::clone(&self.current.borrow());
        let guard = Guard::open(&self.ledger, self.ids.next(), (current.snapshot.access_log, current.tracer.is_some()), &connection);
        self.pass(current, guard, connection, received)
    }

    /// The corridor from end to end.
    async fn pass<B>(
        self: Rc<Self>,
        current: Rc<Current<F>>,
        mut guard: Guard,
        connection: Rc<Connection>,
        received: Result<Received<B>, Malformed>,
    ) -> Answer<ResponseBody<B>>
    where
        B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
    {
        let (mut inbound, place, body) = match arrive(&current, &mut guard, &connection, received) {
            Ok(arrived) => arrived,
            Err(failure) => return outbound::refuse(guard, &failure),
        };
        let id = guard.id;
        let trace = current.tracer.as_ref().map(|tracer| guard.trace(tracer, &inbound, current.trusts(&connection)));
        let mut exchange = exchange::open(id, connection, &inbound, &place);
        exchange.trace = trace;
        let note = |link: &Link, fault: &Fault| self.ledger.fault(id, link, fault);
        let mut walk = current.walk(&place);
        if let Some(audience) = current.audience(place.terms_index) {
            let (audience, attendance) = (Rc::clone(audience), walk.attend());
            let farewell = Farewell { audience, attendance, exchange: exchange.clone(), request: inbound.head.clone() };
            guard.tells(Box::new(farewell), &inbound);
        }
        let described = inbound.head.method == Method::HEAD;
        let terms = || carried::Terms { ledger: &self.ledger, id, limits: &current.snapshot.limits };
        let mut carried = carried::Incoming { body: Carried::Own(body), terms: terms() };
        let course =
            current.within(pin!(walk.on_request(&mut exchange, &mut inbound.head, &mut carried, |name| current.knows(name), note))).await;
        guard.walked(&exchange, walk.acted(), &place);
        let departure = Departure {
            ledger: &self.ledger,
            current: &*current,
            walk: &mut walk,
            place: &place,
            exchange: &mut exchange,
            inbound: &mut inbound,
        };
        let followed = match course {
            Ok(course) => current.within(pin!(departure.follow(course, carried.body, &mut guard))).await,
            Err(outlived) => Err(outlived),
        };
        let mut outbound = match followed {
            Ok(Some(outbound)) => outbound,
            Ok(None) => return Answer::Abort,
            Err(outlived) => return outbound::refuse(guard, &outlived),
        };
        let fail = |failing: Failing| guard.failed_by(failing);
        let (head, mut body) = outbound.carried(described, terms());
        let walked = walk.on_response(&mut exchange, &inbound.head, head, &mut body, note, fail).await;
        guard.walked(&exchange, walk.acted(), &place);
        // What links hold goes to those that are told of the end, which may come at any moment now.
        drop(walk);
        if let Err(Aborted) = walked {
            return guard.abort();
        }
        outbound.answer(guard, current.snapshot.limits.upgraded_idle)
    }
}

/// A snapshot that has been replaced. Exchanges hold it until they have a response; what follows that does without.
pub struct Outgoing<F: Filter>(Weak<Current<F>>);

impl<F: Filter> Outgoing<F> {
    /// Whether no exchange holds it any more.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Exchanges that still wait for a response fail the next time they are polled.
    pub fn end(&self) {
        if let Some(current) = self.0.upgrade() {
            current.end();
        }
    }
}

/// Steps 5 and 6: what the client asked for, cleaned, and the route that takes it.
fn arrive<'c, F: Filter, B>(
    current: &'c Current<F>,
    guard: &mut Guard,
    connection: &Connection,
    received: Result<Received<B>, Malformed>,
) -> Result<(Inbound, Place<'c>, B), Failure> {
    let (mut inbound, body) = inbound::clean(received?, connection, &current.snapshot)?;
    guard.asked(&inbound);
    let place = current.arrive_at(&inbound.head, connection)?;
    guard.placed(&place);
    inbound.introduce(connection, place.client);
    Ok((inbound, place, body))
}

#[cfg(test)]
mod tests;
