//! How many connections are open to a server, all workers together, and who gets the next one where that is bounded (`limits.connections`).
//!
//! A connection has a seat from before it is made until it is closed, whatever it carries: requests, an upgraded connection, a tunnel, or nothing.
//! Seats are counted also where nothing is bounded, so that a bound that a reload brings is kept from its first moment on. Without one, nobody
//! ever waits here, and a request that finds a connection in its pool does not come here at all.
//!
//! Nobody starves, although a seat may be held by a connection that lies idle in another worker's pool:
//! - Who finds no seat waits in a queue that all workers have in common. Who comes while others wait goes behind them.
//! - Who begins to wait rings (`wanted`), and each worker closes connections that lie idle in its pools for those that wait elsewhere; where none
//!   does, one over HTTP/2 gets no new streams. What carries something without an end keeps its seat, and who waits for that is told so in time.
//! - A connection that falls idle meanwhile stays only if who is next can use its pool; else it is closed, and the seat is theirs.
//! - Who leaves the queue, for whatever reason, tells the next if something is left.

use crate::observe::UpstreamTally;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// Of all upstreams, for as long as the process lives. A lock, because it is taken by reloads alone.
#[derive(Default)]
pub struct Seats {
    halls: Mutex<BTreeMap<String, Arc<Hall>>>,
    /// Somebody waits for a seat.
    wanted: Arc<Notify>,
}

/// Of one upstream.
#[derive(Default)]
pub(super) struct Hall {
    /// By server. Likewise a lock.
    rows: Mutex<BTreeMap<String, Weak<Row>>>,
    /// A lock, taken by requests that wait and by connections that end while some do.
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    /// Its length, for those who only want to know whether there is one.
    waiting: AtomicUsize,
    wanted: Arc<Notify>,
}

/// Of one server.
pub(super) struct Row {
    taken: AtomicU32,
    hall: Arc<Hall>,
}

/// One connection's, until it is dropped.
pub(super) struct Seat {
    row: Arc<Row>,
    tally: Arc<UpstreamTally>,
}

/// Whose a waiting request is.
#[derive(Clone)]
pub(super) struct Home {
    /// The upstream as one worker knows it, whose pools the request can use.
    pub upstream: Arc<()>,
    /// The same over all snapshots; only compared.
    pub worker: usize,
}

/// Who is to have what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Who can use what lies in the pools of this worker.
    SameWorkers,
    /// Who needs a seat that is free.
    Anybodys,
}

/// A request in the queue.
pub(super) struct Waiter {
    home: Home,
    /// The only server that will do, if it is settled.
    pub row: Option<Arc<Row>>,
    /// It has been told to look, and has not yet found that to be in vain.
    told: AtomicBool,
    bell: Notify,
}

impl Seats {
    pub(super) fn of(&self, upstream: &str) -> Arc<Hall> {
        let hall = || Arc::new(Hall { wanted: Arc::clone(&self.wanted), ..Hall::default() });
        Arc::clone(lock(&self.halls).entry(upstream.to_owned()).or_insert_with(hall))
    }

    pub(super) fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }
}

impl Hall {
    /// The same for all who ask, as long as one of them has it.
    pub fn row(self: &Arc<Self>, server: &str) -> Arc<Row> {
        let mut rows = lock(&self.rows);
        if let Some(row) = rows.get(server).and_then(Weak::upgrade) {
            return row;
        }
        // Addresses that are found by name come and go.
        rows.retain(|_, row| row.strong_count() > 0);
        let row = Arc::new(Row { taken: AtomicU32::new(0), hall: Arc::clone(self) });
        rows.insert(server.to_owned(), Arc::downgrade(&row));
        row
    }

    pub fn has_queue(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// At the end of the queue. Who has entered looks once more: a seat may have been freed just before.
    pub fn enter(&self, home: Home, row: Option<Arc<Row>>) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter { home, row, told: AtomicBool::new(false), bell: Notify::new() });
        let mut queue = lock(&self.queue);
        queue.push_back(Arc::clone(&waiter));
        self.waiting.store(queue.len(), SeqCst);
        drop(queue);
        self.wanted.notify_waiters();
        waiter
    }

    pub fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        lock(&self.queue).front().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    /// Out of the queue. `has_room`: whether there is something left, for another of the same worker or for one of any.
    pub fn leave(&self, waiter: &Arc<Waiter>, has_room: impl Fn(Whose) -> bool) {
        let mut queue = lock(&self.queue);
        queue.retain(|other| !Arc::ptr_eq(other, waiter));
        self.waiting.store(queue.len(), SeqCst);
        untold(&queue).filter(|next| has_room(next.whose(waiter))).into_iter().for_each(|next| next.tell());
    }

    /// The waiter was told of something that it cannot use; if it is still there, those behind it may.
    pub fn pass_on(&self, waiter: &Arc<Waiter>, has_room: impl Fn(Whose) -> bool) {
        let queue = lock(&self.queue);
        let mut behind = queue.iter().skip_while(|other| !Arc::ptr_eq(other, waiter)).skip(1);
        let next = behind.find(|other| !other.told.load(SeqCst));
        next.filter(|next| has_room(next.whose(waiter))).into_iter().for_each(|next| next.tell());
        waiter.told.store(false, SeqCst);
    }

    /// There is something for a request of this worker, should one be next. One that has been told already will tell the next.
    pub fn tell_own(&self, worker: usize) {
        let queue = lock(&self.queue);
        if queue.iter().any(|waiter| waiter.home.worker == worker && waiter.told.load(SeqCst)) {
            return;
        }
        untold(&queue).filter(|next| next.home.worker == worker).into_iter().for_each(|next| next.tell());
    }

    /// Who is next to be told of something.
    pub fn next(&self) -> Option<Arc<Waiter>> {
        untold(&lock(&self.queue)).cloned()
    }

    /// How many have not been told of anything.
    pub fn left(&self) -> usize {
        lock(&self.queue).iter().filter(|waiter| !waiter.told.load(SeqCst)).count()
    }

    /// A seat is free.
    fn freed(&self) {
        if self.has_queue() {
            untold(&lock(&self.queue)).into_iter().for_each(|next| next.tell());
        }
    }
}

fn untold(queue: &VecDeque<Arc<Waiter>>) -> Option<&Arc<Waiter>> {
    queue.iter().find(|waiter| !waiter.told.load(SeqCst))
}

impl Row {
    /// One more connection, if there are fewer than `most`.
    pub fn seat(self: &Arc<Self>, most: Option<u32>, tally: &Arc<UpstreamTally>) -> Option<Seat> {
        let most = most.unwrap_or(u32::MAX);
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < most).then(|| taken.saturating_add(1))).ok()?;
        tally.open.add(1);
        Some(Seat { row: Arc::clone(self), tally: Arc::clone(tally) })
    }

    /// More than there may be, since there may be fewer than before.
    pub fn is_over(&self, most: u32) -> bool {
        self.taken.load(SeqCst) > most
    }

    pub fn has_free(&self, most: u32) -> bool {
        self.taken.load(SeqCst) < most
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tally.open.sub(1);
        self.row.taken.fetch_sub(1, SeqCst);
        self.row.hall.freed();
    }
}

impl Waiter {
    pub fn is_of(&self, upstream: &Arc<()>) -> bool {
        Arc::ptr_eq(&self.home.upstream, upstream)
    }

    fn whose(&self, other: &Self) -> Whose {
        if self.home.worker == other.home.worker { Whose::SameWorkers } else { Whose::Anybodys }
    }

    /// Until it is told to look.
    pub async fn told(&self) {
        self.bell.notified().await;
    }

    pub fn tell(&self) {
        self.told.store(true, SeqCst);
        self.bell.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn home(worker: usize) -> Home {
        Home { upstream: Arc::new(()), worker }
    }

    fn is_told(waiter: &Waiter) -> bool {
        pin!(waiter.told()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn seats_are_counted_for_all_who_ask_and_bounded_for_those_who_say_so() {
        let seats = Seats::default();
        let (one, other) = (seats.of("app").row("a:1"), seats.of("app").row("a:1"));
        let tally = Arc::default();
        let first = one.seat(None, &tally);
        assert!(first.is_some() && other.has_free(2) && !other.has_free(1));
        assert!(other.seat(Some(1), &tally).is_none() && other.seat(Some(2), &tally).is_some());
        assert!(seats.of("other").row("a:1").has_free(1) && seats.of("app").row("a:2").has_free(1));
        drop(first);
        assert!(one.has_free(1) && tally.open.value() == 0);
    }

    #[test]
    fn a_seat_that_is_freed_goes_to_who_waits_longest_on_whatever_worker() {
        let hall = Seats::default().of("app");
        let (row, tally) = (hall.row("a:1"), Arc::default());
        let seats: Vec<_> = (0..2).filter_map(|_| row.seat(Some(2), &tally)).collect();
        let waiting: Vec<_> = [1, 2, 1].map(|worker| hall.enter(home(worker), None)).into();
        hall.tell_own(2);
        assert!(waiting.iter().all(|waiter| !is_told(waiter)), "the next is another worker's");
        drop(seats);
        assert_eq!([0, 1, 2].map(|index| is_told(&waiting[index])), [true, true, false]);
        hall.leave(&waiting[0], |whose| whose == Whose::SameWorkers);
        assert!(is_told(&waiting[2]), "there is more");
        hall.leave(&waiting[2], |_| true);
        hall.leave(&waiting[1], |_| true);
        assert!(!hall.has_queue());
    }

    #[test]
    fn what_is_of_no_use_to_one_is_offered_to_those_behind() {
        let hall = Seats::default().of("app");
        let waiting: Vec<_> = [1, 2, 3].map(|worker| hall.enter(home(worker), None)).into();
        hall.tell_own(1);
        assert!(is_told(&waiting[0]));
        hall.pass_on(&waiting[0], |_| true);
        assert!(is_told(&waiting[1]) && !is_told(&waiting[2]));
        hall.pass_on(&waiting[1], |_| false);
        assert!(!is_told(&waiting[2]), "somebody has it");
        assert!(hall.next().is_some_and(|next| Arc::ptr_eq(&next, &waiting[0])), "who could not use it keeps its place");
    }
}
