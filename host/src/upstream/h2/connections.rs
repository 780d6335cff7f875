//! The connections to one server. A request takes the first that has room; where none has, one request makes another and the rest wait
//! for it, so that a burst does not become as many connections.

use super::connection::{H2Connection, Slot};
use super::{Settings, fault};
use crate::message::Connection;
use crate::observe::UpstreamTally;
use crate::upstream::SendError;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub(in crate::upstream) struct Connections {
    /// The first ones are filled first, so that the last ones become idle and go.
    live: RefCell<Vec<Rc<H2Connection>>>,
    dials: RefCell<Vec<Rc<Dialing>>>,
    /// The one that was retired last, as long as it carries something.
    retired: RefCell<Weak<H2Connection>>,
    /// Where a server may choose: it chose HTTP/1.1 the last time.
    refuses: Cell<bool>,
    settings: Settings,
    /// Idle ones kept.
    keep: usize,
    time: Duration,
    age: Duration,
    tally: Arc<UpstreamTally>,
}

/// A connection in the making.
struct Dialing {
    /// The client that it is made for, if it serves no other. Only compared.
    owner: Option<*const Connection>,
    /// Requests that will use it, the one that makes it included.
    expected: Cell<u32>,
    done: Notify,
    /// Why there is none.
    failed: RefCell<Option<SendError>>,
}

/// Held by who makes a connection. Dropped without a word, it leaves that to another.
pub(in crate::upstream) struct Dial<'c> {
    connections: &'c Connections,
    dialing: Rc<Dialing>,
}

/// What came of waiting for a connection in the making.
pub(in crate::upstream) enum Joined {
    /// To be looked at again.
    Over,
    /// Nobody makes one that has room.
    Nobody,
}

impl Connections {
    pub fn new(settings: Settings, (keep, time, age): (usize, Duration, Duration), tally: &Arc<UpstreamTally>) -> Self {
        let (live, dials, retired, refuses) = Default::default();
        Self { live, dials, retired, refuses, settings, keep, time, age, tally: Arc::clone(tally) }
    }

    /// Whether connections made with either are alike.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.settings, self.keep, self.time, self.age) == (other.settings, other.keep, other.time, other.age)
    }

    /// Room for one more stream. `avoid`: a connection that has just refused it. `sure`: the kernel is asked whether it is open.
    pub fn take(&self, owner: Option<&Rc<Connection>>, avoid: Option<&Rc<H2Connection>>, sure: bool, now: Instant) -> Option<Slot> {
        let mut live = self.live.borrow_mut();
        let mut at = 0;
        while let Some(connection) = live.get(at) {
            let avoided = avoid.is_some_and(|avoid| Rc::ptr_eq(avoid, connection));
            let stale = connection.rested(now).is_some_and(|rested| rested >= self.time) || connection.age(now) >= self.age;
            if connection.is_leaving() || stale {
                live.remove(at).leave();
            } else if avoided || !connection.is_for(owner) || !connection.has_room() {
                at += 1;
            } else if sure && !connection.is_surely_open() {
                live.remove(at).leave();
            } else {
                return Some(connection.slot());
            }
        }
        None
    }

    /// Whether one more stream finds room, on a connection that is there or in the making.
    pub fn has_room(&self) -> bool {
        self.live.borrow().iter().any(|connection| connection.has_room())
            || self.dials.borrow().iter().any(|dial| dial.expected.get() < self.settings.streams)
    }

    /// Whether a connection is in the making that has room for one more of this client.
    pub fn is_dialing(&self, owner: Option<&Rc<Connection>>) -> bool {
        self.dials.borrow().iter().any(|dial| self.is_open(dial, owner.map(Rc::as_ptr)))
    }

    fn is_open(&self, dial: &Dialing, owner: Option<*const Connection>) -> bool {
        dial.owner == owner && dial.expected.get() < self.settings.streams
    }

    /// Lets go of a connection that carries nothing. It ends when it has said goodbye. `false`: there is none.
    pub fn evict(&self) -> bool {
        let mut live = self.live.borrow_mut();
        let now = Instant::now();
        let idle = live.iter().position(|connection| !connection.is_leaving() && connection.rested(now).is_some());
        idle.map(|at| live.remove(at).leave()).is_some()
    }

    /// A connection gets no new streams, so that it ends with those that it has; one after the other, since more may not be needed.
    pub fn retire(&self) {
        if self.retired.borrow().strong_count() > 0 {
            return;
        }
        let mut live = self.live.borrow_mut();
        if let Some(at) = live.iter().position(|connection| !connection.is_leaving()) {
            let connection = live.remove(at);
            connection.leave();
            *self.retired.borrow_mut() = Rc::downgrade(&connection);
        }
    }

    pub fn refuses(&self) -> bool {
        self.refuses.get()
    }

    /// What a server chose that had the choice.
    pub fn chose(&self, http2: bool) {
        self.refuses.set(!http2);
    }

    /// Waits for a connection that another request makes.
    pub async fn join(&self, owner: Option<&Rc<Connection>>, until: Instant) -> Result<Joined, SendError> {
        let owner = owner.map(Rc::as_ptr);
        let found = self.dials.borrow().iter().find(|dial| self.is_open(dial, owner)).cloned();
        let Some(dialing) = found else { return Ok(Joined::Nobody) };
        dialing.expected.update(|count| count + 1);
        match timeout_at(until, dialing.done.notified()).await {
            Err(_) => Err(SendError::ConnectTimeout),
            Ok(()) => dialing.failed.borrow().as_ref().map_or(Ok(Joined::Over), |error| Err(fault::again(error))),
        }
    }

    /// From now on others wait for the one that is to be made.
    pub fn dial(&self, owner: Option<&Rc<Connection>>) -> Dial<'_> {
        let (owner, expected, done, failed) = (owner.map(Rc::as_ptr), Cell::new(1), Notify::new(), RefCell::new(None));
        let dialing = Rc::new(Dialing { owner, expected, done, failed });
        self.dials.borrow_mut().push(Rc::clone(&dialing));
        Dial { connections: self, dialing }
    }

    /// One more that takes requests.
    pub fn add(&self, connection: Rc<H2Connection>) {
        self.live.borrow_mut().push(connection);
    }

    pub fn settings(&self) -> (Settings, &Arc<UpstreamTally>) {
        (self.settings, &self.tally)
    }

    /// Lets go of what nobody needed lately.
    pub fn sweep(&self, now: Instant) {
        let mut surplus = self.live.borrow().iter().filter(|connection| connection.rested(now).is_some()).count().saturating_sub(self.keep);
        self.live.borrow_mut().retain(|connection| {
            let rested = connection.rested(now);
            if surplus > 0 && rested.is_some_and(|rested| rested >= crate::upstream::pool::SWEEP) {
                surplus -= 1;
                connection.leave();
            }
            let old = rested.is_some_and(|rested| rested >= self.time) || connection.age(now) >= self.age;
            if old || connection.is_orphaned() {
                connection.leave();
            }
            !connection.is_leaving()
        });
    }
}

impl Dial<'_> {
    /// There is one.
    pub fn made(self, connection: Rc<H2Connection>) {
        self.connections.add(connection);
    }

    /// There is none, which those that wait are told too.
    pub fn failed(self, error: &SendError) {
        *self.dialing.failed.borrow_mut() = Some(fault::again(error));
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.connections.dials.borrow_mut().retain(|dialing| !Rc::ptr_eq(dialing, &self.dialing));
        self.dialing.done.notify_waiters();
    }
}
