//! Stopping: the word from outside, and each listener's list of its connections.
//!
//! The list lives on one worker, so that asking "are we draining?" costs a connection nothing between requests: no lock and no
//! registration per request, one waker per connection.

use crate::message::Connection;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Says when to stop. Dropping it says so too.
pub struct Stopper(watch::Sender<bool>);

/// Hears when to stop. One for each listener, on any worker.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// The two ends.
pub fn stopping() -> (Stopper, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Shutdown(receiver))
}

impl Stopper {
    /// Listening sockets close; connections finish the exchange in hand.
    pub fn drain(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Until it is time to stop.
    pub async fn draining(&mut self) {
        // An error means that the other end is gone, and with it whoever wanted us to run.
        let _ = self.0.wait_for(|draining| *draining).await;
    }
}

/// One listener's connections on one worker.
#[derive(Default)]
pub struct Connections {
    draining: Cell<bool>,
    open: Cell<usize>,
    /// Indexed by `Entry`; free ones are `None`.
    slots: RefCell<Vec<Option<Slot>>>,
    free: RefCell<Vec<usize>>,
    /// Who waits for the last to end.
    last: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Slot {
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
}

impl Connections {
    /// A place for a connection that is about to be spawned.
    pub fn enter(self: &Rc<Self>) -> Entry {
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[index] = Some(Slot::default());
        self.open.set(self.open.get() + 1);
        Entry { connections: self.clone(), index }
    }

    /// Whom to abort for the connection with this place; called once, by whoever spawned it.
    pub fn attach(&self, index: usize, task: AbortHandle) {
        if let Some(Some(slot)) = self.slots.borrow_mut().get_mut(index) {
            slot.task = Some(task);
        }
    }

    /// From now on idle connections end at once, busy ones after the exchange in hand.
    pub fn drain(&self) {
        self.draining.set(true);
        // Collected first: waking may run code that looks at the list.
        let wakers: Vec<Waker> = self.slots.borrow().iter().flatten().filter_map(|slot| slot.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends connections whatever they are doing, those that were upgraded only if `upgraded`.
    pub fn abort(&self, upgraded: bool) {
        let slots = self.slots.borrow();
        let chosen = slots.iter().flatten().filter(|slot| upgraded || !slot.upgraded);
        let tasks: Vec<AbortHandle> = chosen
            .inspect(|slot| slot.connection.iter().for_each(|connection| connection.cut.set(true)))
            .filter_map(|slot| slot.task.clone())
            .collect();
        drop(slots);
        tasks.into_iter().for_each(|task| task.abort());
    }

    /// Until none is open.
    pub async fn all_ended(&self) {
        self.ended(|this| this.open.get() == 0).await;
    }

    /// Until none is open but upgraded ones.
    pub async fn all_but_upgraded_ended(&self) {
        self.ended(|this| this.slots.borrow().iter().flatten().all(|slot| slot.upgraded)).await;
    }

    async fn ended(&self, enough: impl Fn(&Self) -> bool) {
        poll_fn(|cx| {
            if enough(self) {
                return Poll::Ready(());
            }
            *self.last.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn changed(&self) {
        if let Some(waker) = self.last.borrow_mut().take() {
            waker.wake();
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

    pub fn is_draining(&self) -> bool {
        self.connections.draining.get()
    }

    /// The connection no longer speaks HTTP, and may take longer to end.
    pub fn upgraded(&self) {
        self.change(|slot| slot.upgraded = true);
        self.connections.changed();
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
        drop(left);
        self.connections.free.borrow_mut().push(self.index);
        self.connections.open.set(self.connections.open.get() - 1);
        self.connections.changed();
    }
}
