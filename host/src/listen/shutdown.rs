//! Stopping: the word from outside, and each listener's list of its connections.
//!
//! The list lives on one worker, so that asking "are we draining?" costs a connection nothing between requests: no lock and no
//! registration per request, one waker per connection.

use crate::message::Connection;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How long idle connections may stay after another process has taken over: long enough for a busy client to ask once more and be told
/// to connect anew, instead of asking just when we hang up. As patient as Traefik's whole stop.
const LINGER: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Run,
    HandOver,
    Drain,
}

/// Says when to stop. Dropping it says so too.
pub struct Stopper(watch::Sender<Word>);

/// Hears when to stop, on any worker.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<Word>);

/// The two ends.
pub fn stopping() -> (Stopper, Shutdown) {
    let (sender, receiver) = watch::channel(Word::Run);
    (Stopper(sender), Shutdown(receiver))
}

impl Stopper {
    /// Listening sockets close; connections finish the exchange in hand.
    pub fn drain(&self) {
        self.0.send_replace(Word::Drain);
    }

    /// The same, but another process accepts at the same sockets by now: what waits there is left to it, and idle connections may ask once more.
    pub fn hand_over(&self) {
        self.0.send_replace(Word::HandOver);
    }
}

impl Shutdown {
    /// Until it is time to stop.
    pub async fn draining(&mut self) {
        // An error means that the other end is gone, and with it whoever wanted us to run.
        let _ = self.0.wait_for(|word| *word != Word::Run).await;
    }

    /// Whether another process goes on.
    pub fn is_handing_over(&self) -> bool {
        *self.0.borrow() == Word::HandOver
    }
}

/// One listener's connections on one worker, by the era in which they came.
#[derive(Default)]
pub struct Connections {
    /// Which era it is.
    now: Cell<u64>,
    /// Connections of earlier eras than this are asked to leave.
    leaving: Cell<u64>,
    /// Until when idle ones of them may still ask.
    patient: Cell<Option<Instant>>,
    /// How often connections were roused.
    roused: Cell<u64>,
    /// How many are open, by era; so few eras that looking through all of them is cheap.
    open: RefCell<BTreeMap<u64, Open>>,
    /// Indexed by `Entry`; free ones are `None`.
    slots: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
    /// Who waits for the last of some to end.
    waiting: RefCell<Vec<Waker>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    upgraded: usize,
}

#[derive(Default)]
struct Slot {
    era: u64,
    waker: Option<Waker>,
    task: Option<AbortHandle>,
    /// Once exchanges can begin.
    connection: Option<Rc<Connection>>,
    upgraded: bool,
}

/// A connection's place in the list, which it leaves when it ends.
pub struct Entry {
    connections: Rc<Connections>,
    index: usize,
    era: u64,
}

impl Connections {
    /// A place for a connection that is about to be spawned.
    pub fn enter(self: &Rc<Self>) -> Entry {
        let era = self.now.get();
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[index] = Some(Slot { era, ..Slot::default() });
        self.open.borrow_mut().entry(era).or_default().all += 1;
        Entry { connections: self.clone(), index, era }
    }

    /// A new era, whose connections can be told from those before it.
    pub fn begin(&self) -> u64 {
        self.now.set(self.now.get() + 1);
        self.now.get()
    }

    /// Whom to abort for the connection with this place; called once, by whoever spawned it.
    pub fn attach(&self, index: usize, task: AbortHandle) {
        if let Some(Some(slot)) = self.slots.borrow_mut().get_mut(index) {
            slot.task = Some(task);
        }
    }

    /// From now on idle connections of earlier eras end at once, busy ones after the exchange in hand.
    pub fn drain(&self, before: u64) {
        self.leaving.set(self.leaving.get().max(before));
        self.rouse(before);
    }

    /// From now on each connection ends after its next exchange, idle ones when [`LINGER`] is over; those that can be told so (HTTP/2) are.
    pub fn hand_over(&self) {
        self.patient.set(Some(Instant::now() + LINGER));
        self.drain(u64::MAX);
    }

    /// Lets connections of earlier eras look whether something has changed for them.
    pub fn rouse(&self, before: u64) {
        self.roused.set(self.roused.get() + 1);
        // Collected first: waking may run code that looks at the list.
        let slots = self.slots.borrow();
        let earlier = slots.iter().flatten().filter(|slot| slot.era < before);
        let wakers: Vec<Waker> = earlier.filter_map(|slot| slot.waker.clone()).collect();
        drop(slots);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends connections of earlier eras whatever they are doing, those that were upgraded only if `upgraded`.
    pub fn abort(&self, before: u64, upgraded: bool) {
        let slots = self.slots.borrow();
        let chosen = slots.iter().flatten().filter(|slot| slot.era < before && (upgraded || !slot.upgraded));
        let tasks: Vec<AbortHandle> = chosen
            .inspect(|slot| slot.connection.iter().for_each(|connection| connection.cut.set(true)))
            .filter_map(|slot| slot.task.clone())
            .collect();
        drop(slots);
        tasks.into_iter().for_each(|task| task.abort());
    }

    /// Until none of an earlier era is open.
    pub async fn all_ended(&self, before: u64) {
        self.ended(before, |open| open.all == 0).await;
    }

    /// Until none of an earlier era is open but upgraded ones.
    pub async fn all_but_upgraded_ended(&self, before: u64) {
        self.ended(before, |open| open.all == open.upgraded).await;
    }

    async fn ended(&self, before: u64, enough: impl Fn(&Open) -> bool) {
        poll_fn(|cx| {
            if self.open.borrow().range(..before).all(|(_, open)| enough(open)) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn changed(&self) {
        if !self.waiting.borrow().is_empty() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    fn count(&self, era: u64, count: impl FnOnce(&mut Open)) {
        let mut open = self.open.borrow_mut();
        if let Some(of_era) = open.get_mut(&era) {
            count(of_era);
            if of_era.all == 0 {
                open.remove(&era);
            }
        }
    }
}

impl Entry {
    pub fn index(&self) -> usize {
        self.index
    }

    /// Remembers whom to wake on `drain`: the connection's task, always the same.
    pub async fn register(&self) {
        poll_fn(|cx| {
            self.change(|slot| slot.waker = Some(cx.waker().clone()));
            Poll::Ready(())
        })
        .await;
    }

    /// The connection as its exchanges know it, to be told that it was cut.
    pub fn serves(&self, connection: &Rc<Connection>) {
        self.change(|slot| slot.connection = Some(Rc::clone(connection)));
    }

    /// Changes when connections are roused.
    pub fn roused(&self) -> u64 {
        self.connections.roused.get()
    }

    pub fn is_draining(&self) -> bool {
        self.era < self.connections.leaving.get()
    }

    /// Until when it may be idle, if it was asked to leave and is to be given time.
    pub fn patient_until(&self) -> Option<Instant> {
        self.connections.patient.get()
    }

    /// The connection no longer speaks HTTP, and may take longer to end.
    pub fn upgraded(&self) {
        let mut before = true;
        self.change(|slot| before = std::mem::replace(&mut slot.upgraded, true));
        if !before {
            self.connections.count(self.era, |open| open.upgraded += 1);
            self.connections.changed();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        if let Some(Some(slot)) = self.connections.slots.borrow_mut().get_mut(self.index) {
            change(slot);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let left = self.connections.slots.borrow_mut().get_mut(self.index).and_then(Option::take);
        let upgraded = left.as_ref().is_some_and(|slot| slot.upgraded);
        drop(left);
        self.connections.free.borrow_mut().push(self.index);
        self.connections.count(self.era, |open| {
            open.all -= 1;
            open.upgraded -= usize::from(upgraded);
        });
        self.connections.changed();
    }
}
