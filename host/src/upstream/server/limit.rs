//! How many requests run at once on an upstream and on each of its servers, and who waits until there is room. Each worker has its share of
//! the limits, so that none has to ask the others; only connections are counted together (see `seats`), since a server has so many and no more.

use super::adaptive::{Bounds, Gradient, LEAST, MOST};
use super::{Server, Tried, Upstream};
use crate::config::{LimitsSpec, Running};
use crate::upstream::SendError;
use crate::upstream::seats::{Home, Row, Seat, Waiter, Whose};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// One worker's share.
#[derive(Debug)]
pub(super) struct Limit {
    running: Most,
    per_server: u32,
    /// Open to each server. Not a share: idle ones that another worker needs are given up (see `seats`).
    connections: Option<u32>,
    queue: u32,
    wait: Duration,
}

/// How many may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Most {
    Fixed(u32),
    Adaptive(Bounds),
}

/// What runs and waits on an upstream, whatever its limits: of one worker, over all snapshots that still have exchanges.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub running: Cell<u32>,
    pub retrying: Cell<u32>,
    waiting: Cell<u32>,
    /// Used where the limit is adaptive.
    gradient: Cell<Gradient>,
    freed: Notify,
}

impl Limit {
    /// At least one of each, so that every worker can do something.
    pub fn new(spec: &LimitsSpec, workers: u16) -> Self {
        let share = |all: u32| all.div_ceil(workers.max(1).into());
        let running = match spec.running {
            None => Most::Fixed(u32::MAX),
            Some(Running::Most(running)) => Most::Fixed(share(running)),
            Some(Running::Adaptive) => Most::Adaptive(Bounds { least: share(LEAST), most: share(MOST) }),
        };
        let LimitsSpec { per_server, connections, queue, wait, .. } = *spec;
        Self { running, per_server: per_server.map_or(u32::MAX, share), connections, queue: share(queue), wait }
    }

    /// Whether no more may run on the server.
    pub fn is_reached(&self, server: &Server) -> bool {
        server.running.get() >= self.per_server || self.connections.is_some_and(|most| server.has_no_seat(most))
    }
}

impl Upstream {
    /// Returns when one more may run. Who comes while others wait goes behind them; so does who was told that there is room, and found none
    /// any more. `until`: the exchange's end. The place in the queue is to be kept until the request has its connection, or makes one.
    pub async fn admit(&self, patience: &mut Patience) -> Result<Option<Place<'_>>, SendError> {
        let Some(limit) = &self.limit else { return Ok(None) };
        // Nobody waits for servers that are not known; what is wrong is said soon enough.
        if self.servers.is_empty() {
            return Ok(None);
        }
        if !self.has_queue(limit) && self.has_room(limit) {
            return Ok(None);
        }
        let room = || self.has_room(limit);
        // Boxed: it is rare, and would make the future of every request larger.
        Box::pin(self.line_up(limit, None, patience, (&room, &room))).await.map(Some)
    }

    /// Returns when there may be a connection for this server, which had none to give. `alone`: it must be a new one.
    pub async fn wait_for_seat(&self, server: &Server, alone: bool, patience: &mut Patience) -> Result<Option<Place<'_>>, SendError> {
        let Some((limit, most)) = self.limit.as_ref().and_then(|limit| Some((limit, limit.connections?))) else { return Ok(None) };
        let free = || server.row.has_free(most);
        let room = || free() || !server.pool.is_empty() || (!alone && server.connections.has_room());
        self.line_up(limit, Some(&server.row), patience, (&free, &room)).await.map(Some)
    }

    /// `ready`: whether it need not wait, at first and whenever it is told to look.
    async fn line_up(
        &self,
        limit: &Limit,
        row: Option<&Arc<Row>>,
        patience: &mut Patience,
        ready: (&dyn Fn() -> bool, &dyn Fn() -> bool),
    ) -> Result<Place<'_>, SendError> {
        if self.load.waiting.get() >= limit.queue {
            return Err(SendError::Busy);
        }
        let over = *patience.over.get_or_insert_with(|| Instant::now() + limit.wait);
        self.wait(Place::take(self, limit, row), ready, (over, patience.until)).await
    }

    async fn wait<'u>(
        &'u self,
        place: Place<'u>,
        (at_first, ready): (&dyn Fn() -> bool, &dyn Fn() -> bool),
        (over, until): (Instant, Option<Instant>),
    ) -> Result<Place<'u>, SendError> {
        let end = until.map_or(over, |until| until.min(over));
        // Where all workers wait together, a seat may have been freed before anybody knew that this one waits.
        if place.is_first() && at_first() {
            return Ok(place);
        }
        loop {
            // Whoever is dropped after it was told passes that on to the next.
            match timeout_at(end, place.told()).await {
                Ok(()) if ready() => return Ok(place),
                Ok(()) => {
                    place.told_in_vain();
                    if place.is_first() && at_first() {
                        return Ok(place);
                    }
                }
                Err(_) if end < over => return Err(SendError::Expired),
                Err(_) => return Err(SendError::Busy),
            }
        }
    }

    /// A seat for one more connection to the server. `None`: it has as many as it may, and none of them lies idle here.
    pub fn seat(&self, server: &Server) -> Option<Seat> {
        let seat = server.row.seat(self.most_connections(), &self.tally).or_else(|| server.pool.evict());
        if seat.is_none() {
            // Its seat is free when it has said goodbye.
            server.connections.evict();
        }
        seat
    }

    /// Whether a connection to the server that falls idle is to be closed: somebody waits for it who has no use for it as it is, or there are
    /// too many since a reload.
    pub fn wants_less(&self, server: &Server) -> bool {
        let Some(most) = self.most_connections() else { return false };
        let elsewhere = || self.hall.next().is_some_and(|next| !next.is_of(&self.home));
        server.row.is_over(most) || (self.hall.has_queue() && elsewhere())
    }

    /// Closes idle connections to servers that have more than they may since a reload.
    pub fn shed(&self) {
        let Some(most) = self.most_connections() else { return };
        for server in &self.servers {
            while server.row.is_over(most) && server.pool.evict().is_some() {}
        }
    }

    /// Closes connections that lie idle here, one for each request that waits elsewhere; where none does, one over HTTP/2 ends with what it carries.
    pub fn give_up_seats(&self) {
        if self.most_connections().is_none() || !self.hall.has_queue() {
            return;
        }
        self.shed();
        for _ in 0..self.hall.left() {
            let Some(next) = self.hall.next() else { return };
            if next.is_of(&self.home) {
                self.is_less();
                return;
            }
            let of = || self.servers.iter().filter(|server| next.row.as_ref().is_none_or(|row| Arc::ptr_eq(row, &server.row)));
            if !of().any(|server| server.pool.evict().is_some() || server.connections.evict()) {
                // Over HTTP/2 one that never falls idle would keep its seat for ever.
                of().for_each(|server| server.connections.retire());
                return;
            }
        }
    }

    /// To each server.
    fn most_connections(&self) -> Option<u32> {
        self.limit.as_ref().and_then(|limit| limit.connections)
    }

    /// Something that ran is over.
    pub fn is_less(&self) {
        if self.load.waiting.get() == 0 {
            return;
        }
        self.load.freed.notify_one();
        // Who waits may do so under other limits than these, after a reload.
        let useful = || self.limit.as_ref().filter(|limit| limit.connections.is_some()).is_none_or(|limit| self.has_room(limit));
        if self.hall.has_queue() && useful() {
            self.hall.tell_own(self.worker());
        }
    }

    /// Whether one more may run at once, on another server than these.
    pub fn has_spare(&self, tried: &Tried) -> bool {
        self.has_other(tried) && self.limit.as_ref().is_none_or(|limit| !self.has_queue(limit) && self.has_room(limit))
    }

    /// An answer has taken so long; what may run at once may change with it.
    #[inline]
    pub fn learn(&self, took: Duration, now: Instant) {
        if let Some(Limit { running: Most::Adaptive(bounds), .. }) = &self.limit {
            let gradient = self.load.gradient.get().after(took, self.load.running.get(), *bounds, now);
            self.load.gradient.set(gradient);
            self.tally.limit.set(gradient.limit(*bounds).into());
        }
    }

    /// Whether others wait, on other workers too if connections are bounded.
    fn has_queue(&self, limit: &Limit) -> bool {
        self.load.waiting.get() > 0 || (limit.connections.is_some() && self.hall.has_queue())
    }

    fn has_room(&self, limit: &Limit) -> bool {
        let most = match limit.running {
            Most::Fixed(most) => most,
            Most::Adaptive(bounds) => self.load.gradient.get().limit(bounds),
        };
        self.load.running.get() < most && (0..self.servers.len()).any(|index| !self.is_full(index) && !self.is_drained(index))
    }

    fn has_room_for(&self, whose: Whose) -> bool {
        let Some(limit) = &self.limit else { return false };
        let free = |server: &Rc<Server>| limit.connections.is_some_and(|most| server.row.has_free(most));
        match whose {
            Whose::SameWorkers => self.has_room(limit),
            Whose::Anybodys => self.servers.iter().any(free),
        }
    }

    /// Only compared: the same over all snapshots.
    fn worker(&self) -> usize {
        Rc::as_ptr(&self.load) as usize
    }
}

/// How long a request waits, all in all.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::upstream) struct Patience {
    /// The exchange's end.
    pub until: Option<Instant>,
    /// Set when it begins to wait.
    over: Option<Instant>,
}

impl Patience {
    pub const fn within(until: Option<Instant>) -> Self {
        Self { until, over: None }
    }
}

/// In the queue, until this is dropped.
pub(in crate::upstream) struct Place<'u> {
    upstream: &'u Upstream,
    /// Where connections are bounded, all workers wait together.
    waiter: Option<Arc<Waiter>>,
}

impl<'u> Place<'u> {
    fn take(upstream: &'u Upstream, limit: &Limit, row: Option<&Arc<Row>>) -> Self {
        upstream.load.waiting.update(|count| count + 1);
        upstream.tally.waiting.add(1);
        let home = || Home { upstream: Arc::clone(&upstream.home), worker: upstream.worker() };
        let waiter = limit.connections.map(|_| upstream.hall.enter(home(), row.cloned()));
        Self { upstream, waiter }
    }

    /// Until it is told to look whether there is room.
    async fn told(&self) {
        match &self.waiter {
            Some(waiter) => waiter.told().await,
            None => self.upstream.load.freed.notified().await,
        }
    }

    fn told_in_vain(&self) {
        let Self { upstream, waiter } = self;
        waiter.iter().for_each(|waiter| upstream.hall.pass_on(waiter, |whose| upstream.has_room_for(whose)));
    }

    /// Of all workers'. `false` where each has a queue of its own.
    fn is_first(&self) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| self.upstream.hall.is_first(waiter))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self { upstream, waiter } = self;
        upstream.load.waiting.update(|count| count - 1);
        upstream.tally.waiting.sub(1);
        if let Some(waiter) = waiter {
            upstream.hall.leave(waiter, |whose| upstream.has_room_for(whose));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ticket;
    use super::super::tests::limited;
    use super::*;
    use crate::upstream::server::Wish;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    fn spec(running: Option<u32>, per_server: Option<u32>, queue: u32) -> LimitsSpec {
        LimitsSpec { running: running.map(Running::Most), per_server, connections: None, queue, wait: Duration::from_secs(60) }
    }

    #[test]
    fn workers_share_limits_and_each_has_some() {
        let limit = Limit::new(&spec(Some(10), Some(1), 0), 4);
        assert_eq!((limit.running, limit.per_server, limit.queue), (Most::Fixed(3), 1, 0));
        assert_eq!(Limit::new(&spec(None, Some(8), 9), 2).running, Most::Fixed(u32::MAX));
        let adaptive = LimitsSpec { running: Some(Running::Adaptive), ..spec(None, None, 0) };
        assert_eq!(Limit::new(&adaptive, 3).running, Most::Adaptive(Bounds { least: 4, most: 334 }));
    }

    #[tokio::test]
    async fn who_comes_too_many_waits_in_turn_and_then_is_told_so() {
        let upstream = limited(2, spec(Some(2), None, 2));
        let mut tickets: Vec<_> = (0..2).map(|index| Ticket::new(&upstream, &upstream.servers[index], index)).collect();
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        LocalSet::new()
            .run_until(async {
                let waiting: Vec<_> = (0..2)
                    .map(|number| {
                        let (upstream, order) = (Rc::clone(&upstream), Rc::clone(&order));
                        spawn_local(async move {
                            let admitted = upstream.admit(&mut Patience::default()).await;
                            order.borrow_mut().push(number);
                            admitted.map(|_| Ticket::new(&upstream, &upstream.servers[0], 0))
                        })
                    })
                    .collect();
                yield_now().await;
                assert!(matches!(upstream.admit(&mut Patience::default()).await, Err(SendError::Busy)), "two run and two wait");
                drop(tickets.pop());
                // One that has come since does not get in between.
                assert!(matches!(upstream.admit(&mut Patience::default()).await, Err(SendError::Busy)));
                drop(tickets.pop());
                for one in waiting {
                    assert!(one.await.is_ok_and(|admitted| admitted.is_ok()));
                }
                assert!(upstream.admit(&mut Patience::default()).await.is_ok());
            })
            .await;
        assert_eq!(*order.borrow(), [0, 1]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let upstream = limited(1, LimitsSpec { wait: Duration::from_millis(20), ..spec(None, Some(1), 5) });
        let _busy = Ticket::new(&upstream, &upstream.servers[0], 0);
        let begun = Instant::now();
        assert!(matches!(upstream.admit(&mut Patience::default()).await, Err(SendError::Busy)));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!(matches!(upstream.admit(&mut Patience::within(Some(Instant::now()))).await, Err(SendError::Expired)));
    }

    #[test]
    fn a_server_that_has_enough_to_do_is_passed_over() {
        let upstream = limited(2, spec(None, Some(1), 5));
        let _busy = Ticket::new(&upstream, &upstream.servers[1], 1);
        let now = Instant::now();
        assert!((0..20).all(|_| upstream.pick(&Tried::new(), Wish::default(), now) == Some(0)));
        assert!(!upstream.has_other(&Tried::from_slice(&[0])), "nor is it tried after another");
    }
}
