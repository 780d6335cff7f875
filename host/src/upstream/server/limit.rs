//! How many requests run at once on an upstream and on each of its servers, and who waits until there is room. Each worker has its share of
//! the limits, so that none has to ask the others.

use super::adaptive::{Bounds, Gradient, LEAST, MOST};
use super::{Server, Tried, Upstream};
use crate::config::{LimitsSpec, Running};
use crate::upstream::SendError;
use std::cell::Cell;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// One worker's share.
#[derive(Debug)]
pub(super) struct Limit {
    running: Most,
    per_server: u32,
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

impl Load {
    /// Something that ran is over.
    pub fn is_less(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
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
        Self { running, per_server: spec.per_server.map_or(u32::MAX, share), queue: share(spec.queue), wait: spec.wait }
    }

    /// Whether no more may run on the server.
    pub fn is_reached(&self, server: &Server) -> bool {
        server.running.get() >= self.per_server
    }
}

impl Upstream {
    /// Returns when one more may run. Who comes while others wait goes behind them; so does who was told that there is room, and found none
    /// any more. `until`: the exchange's end.
    pub async fn admit(&self, until: Option<Instant>) -> Result<(), SendError> {
        let Some(limit) = &self.limit else { return Ok(()) };
        // Nobody waits for servers that are not known; what is wrong is said soon enough.
        if self.servers.is_empty() {
            return Ok(());
        }
        if self.load.waiting.get() == 0 && self.has_room(limit) {
            return Ok(());
        }
        if self.load.waiting.get() >= limit.queue {
            return Err(SendError::Busy);
        }
        // Boxed: it is rare, and would make the future of every request larger.
        Box::pin(self.wait(limit, until)).await
    }

    async fn wait(&self, limit: &Limit, until: Option<Instant>) -> Result<(), SendError> {
        let _place = Place::take(self);
        let patience = Instant::now() + limit.wait;
        let end = until.map_or(patience, |until| until.min(patience));
        loop {
            // Whoever is dropped after it was told passes that on to the next.
            match timeout_at(end, self.load.freed.notified()).await {
                Ok(()) if self.has_room(limit) => return Ok(()),
                Ok(()) => {}
                Err(_) if end < patience => return Err(SendError::Expired),
                Err(_) => return Err(SendError::Busy),
            }
        }
    }

    /// Whether one more may run at once, on another server than these.
    pub fn has_spare(&self, tried: &Tried) -> bool {
        self.has_other(tried) && self.limit.as_ref().is_none_or(|limit| self.load.waiting.get() == 0 && self.has_room(limit))
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

    fn has_room(&self, limit: &Limit) -> bool {
        let most = match limit.running {
            Most::Fixed(most) => most,
            Most::Adaptive(bounds) => self.load.gradient.get().limit(bounds),
        };
        self.load.running.get() < most && (0..self.servers.len()).any(|index| !self.is_full(index) && !self.is_drained(index))
    }
}

/// In the queue, until this is dropped.
struct Place<'u> {
    upstream: &'u Upstream,
}

impl<'u> Place<'u> {
    fn take(upstream: &'u Upstream) -> Self {
        upstream.load.waiting.update(|count| count + 1);
        upstream.tally.waiting.add(1);
        Self { upstream }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.upstream.load.waiting.update(|count| count - 1);
        self.upstream.tally.waiting.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ticket;
    use super::super::tests::limited;
    use super::*;
    use crate::upstream::server::Wish;
    use std::rc::Rc;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    fn spec(running: Option<u32>, per_server: Option<u32>, queue: u32) -> LimitsSpec {
        LimitsSpec { running: running.map(Running::Most), per_server, queue, wait: Duration::from_secs(60) }
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
                            let admitted = upstream.admit(None).await;
                            order.borrow_mut().push(number);
                            admitted.map(|()| Ticket::new(&upstream, &upstream.servers[0], 0))
                        })
                    })
                    .collect();
                yield_now().await;
                assert!(matches!(upstream.admit(None).await, Err(SendError::Busy)), "two run and two wait");
                drop(tickets.pop());
                // One that has come since does not get in between.
                assert!(matches!(upstream.admit(None).await, Err(SendError::Busy)));
                drop(tickets.pop());
                for one in waiting {
                    assert!(one.await.is_ok_and(|admitted| admitted.is_ok()));
                }
                assert!(upstream.admit(None).await.is_ok());
            })
            .await;
        assert_eq!(*order.borrow(), [0, 1]);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let upstream = limited(1, LimitsSpec { wait: Duration::from_millis(20), ..spec(None, Some(1), 5) });
        let _busy = Ticket::new(&upstream, &upstream.servers[0], 0);
        let begun = Instant::now();
        assert!(matches!(upstream.admit(None).await, Err(SendError::Busy)));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!(matches!(upstream.admit(Some(Instant::now())).await, Err(SendError::Expired)));
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
