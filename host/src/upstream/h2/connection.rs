//! One connection to a server: how many streams it carries, and the task that moves its frames and sees whether the server still lives.

use super::super::io::OriginIo;
use super::super::seats::Seat;
use super::io::SharedIo;
use super::{Settings, fault};
use crate::message::Connection;
use crate::observe::UpstreamTally;
use crate::upstream::SendError;
use crate::wire::Deadline;
use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

/// Between PING frames on a connection that stays quiet. gRPC servers close connections that ask more often than every 5 minutes
/// while nothing happens ("too_many_pings"); the first question after a pause is free.
const SPARSE: Duration = Duration::from_secs(330);
/// Timers that a connection keeps for its next streams. As many as one burst of a busy connection needs; chosen arbitrarily.
const TIMERS: usize = 32;

/// A connection that takes requests. When the last one who holds it lets go, and its streams are over, its task says goodbye and ends.
pub(in crate::upstream) struct H2Connection {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

/// What its task and its streams know of it.
pub(super) struct State {
    pub io: RefCell<OriginIo>,
    /// Bytes that came in so far.
    read: Cell<u64>,
    open: Cell<u32>,
    /// Streams that it is to have at most: ours, or fewer where the server has refused more.
    most: Cell<u32>,
    /// It gets no new streams: the server said goodbye, it broke, or it is too old.
    leaving: Cell<bool>,
    /// It has carried a stream before.
    used: Cell<bool>,
    /// Since when no stream is open; `None` while one is, and before the first.
    idle_since: Cell<Option<Instant>>,
    opened: Instant,
    /// The one client that it may serve, if its server was told for whom it was made.
    owner: Option<Weak<Connection>>,
    timers: RefCell<Vec<Deadline>>,
    tally: Arc<UpstreamTally>,
    /// Held, not looked at.
    _seat: Option<Seat>,
}

impl State {
    pub fn has_read(&self, count: usize) {
        self.read.set(self.read.get() + count as u64);
    }

    fn leave(&self) {
        if !self.leaving.replace(true) && self.idle_since.get().is_some() {
            self.tally.idle.sub(1);
        }
    }
}

impl H2Connection {
    /// Begins to speak HTTP/2 on a connection that was just made, before `until`.
    pub async fn begin(
        (io, seat): (OriginIo, Option<Seat>),
        owner: Option<&Rc<Connection>>,
        (settings, tally): (Settings, &Arc<UpstreamTally>),
        until: Instant,
    ) -> Result<Rc<Self>, SendError> {
        let state = Rc::new(State {
            io: RefCell::new(io),
            read: Cell::new(0),
            open: Cell::new(0),
            most: Cell::new(settings.streams),
            leaving: Cell::new(false),
            used: Cell::new(false),
            idle_since: Cell::new(None),
            opened: Instant::now(),
            owner: owner.map(Rc::downgrade),
            timers: RefCell::default(),
            tally: Arc::clone(tally),
            _seat: seat,
        });
        let begun = timeout_at(until, settings.builder().handshake(SharedIo(Rc::clone(&state)))).await;
        let (sender, connection) = begun.map_err(|_| SendError::ConnectTimeout)?.map_err(|error| fault::sort(error).0)?;
        // Ends by itself: see the type's description.
        spawn_local(drive(connection, Rc::clone(&state), settings));
        Ok(Rc::new(Self { sender, state }))
    }

    /// Whether it is for this client; those without an owner are for all.
    pub fn is_for(&self, owner: Option<&Rc<Connection>>) -> bool {
        match (&self.state.owner, owner) {
            (None, None) => true,
            (Some(own), Some(owner)) => std::ptr::eq(own.as_ptr(), Rc::as_ptr(owner)),
            _ => false,
        }
    }

    pub fn is_leaving(&self) -> bool {
        self.state.leaving.get()
    }

    /// No new streams from now on.
    pub fn leave(&self) {
        self.state.leave();
    }

    /// Whether it takes one more.
    pub fn has_room(&self) -> bool {
        let open = self.state.open.get();
        !self.is_leaving() && open < self.state.most.get() && (open as usize) < self.sender.current_max_send_streams()
    }

    /// As far as the kernel knows: for requests that get no second try. What the server last said may still have to be read, which finds
    /// out more.
    pub fn is_surely_open(&self) -> bool {
        !self.state.io.borrow().is_closed()
    }

    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.state.opened)
    }

    /// For how long it has had no stream.
    pub fn rested(&self, now: Instant) -> Option<Duration> {
        self.state.idle_since.get().map(|since| now.saturating_duration_since(since))
    }

    /// Whether it belongs to a client that has left.
    pub fn is_orphaned(&self) -> bool {
        self.state.owner.as_ref().is_some_and(|owner| owner.strong_count() == 0)
    }

    /// Room for one stream, until it is dropped.
    pub fn slot(self: &Rc<Self>) -> Slot {
        let state = &self.state;
        state.open.update(|open| open + 1);
        if state.idle_since.take().is_some() && !state.leaving.get() {
            state.tally.idle.sub(1);
        }
        Slot { reused: state.used.replace(true), connection: Rc::clone(self) }
    }
}

impl Drop for H2Connection {
    fn drop(&mut self) {
        self.state.leave();
    }
}

/// Room for one stream on a connection.
pub(in crate::upstream) struct Slot {
    pub connection: Rc<H2Connection>,
    /// The connection has carried another before.
    pub reused: bool,
}

impl Slot {
    /// Opens the stream. The error says that nothing was sent.
    pub fn open(&self, request: Request<()>, ends: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A clone, because one handle would remember a stream that waits to be opened and refuse the next.
        self.connection.sender.clone().send_request(request, ends)
    }

    /// The server has refused a stream beside those that are open: so many are too many.
    pub fn refused(&self) {
        let (most, beside) = (&self.connection.state.most, self.connection.state.open.get() - 1);
        // Alone, it was not one too many.
        if beside > 0 {
            most.set(most.get().min(beside));
        }
    }

    /// Bytes that came in so far, on any stream.
    pub fn read(&self) -> u64 {
        self.connection.state.read.get()
    }

    /// A timer that may have served another stream.
    pub fn timer(&self) -> Deadline {
        self.connection.state.timers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a timer back.
    pub fn rest(&self, mut timer: Deadline) {
        let mut timers = self.connection.state.timers.borrow_mut();
        if timers.len() < TIMERS {
            timer.clear();
            timers.push(timer);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let state = &self.connection.state;
        let open = state.open.get() - 1;
        state.open.set(open);
        if open == 0 {
            state.idle_since.set(Some(Instant::now()));
            if !state.leaving.get() {
                state.tally.idle.add(1);
            }
        }
    }
}

/// Moves frames until the connection ends.
async fn drive(mut connection: client::Connection<SharedIo, Bytes>, state: Rc<State>, settings: Settings) {
    let mut life = connection.ping_pong().map(|ping| Life::new(ping, settings));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        match &mut life {
            Some(life) => life.poll(&state, cx).map(|why| Err(why.to_owned())),
            None => Poll::Pending,
        }
    });
    if let Err(why) = ended.await {
        tracing::debug!("HTTP/2 connection to a server ended: {why}");
    }
    state.leave();
}

/// Sees whether the server lives while requests wait for it.
struct Life {
    ping: PingPong,
    settings: Settings,
    deadline: Deadline,
    /// What was read when the clock was last looked at.
    seen: u64,
    /// An answer is awaited.
    asked: bool,
    /// Not to be asked before.
    sparse: Option<Instant>,
}

impl Life {
    fn new(ping: PingPong, settings: Settings) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(Instant::now() + settings.ping_interval);
        Self { ping, settings, deadline, seen: 0, asked: false, sparse: None }
    }

    /// Ready when there is nothing more to be hoped for, and why.
    fn poll(&mut self, state: &State, cx: &mut Context<'_>) -> Poll<&'static str> {
        if self.asked && self.ping.poll_pong(cx).is_ready() {
            self.asked = false;
        }
        loop {
            ready!(self.deadline.poll_expired(cx));
            let (now, read) = (Instant::now(), state.read.get());
            let quiet = std::mem::replace(&mut self.seen, read) == read;
            if quiet && self.asked {
                return Poll::Ready("it does not answer a PING");
            }
            if quiet && state.leaving.get() && state.open.get() == 0 {
                return Poll::Ready("it does not take a goodbye");
            }
            let pause = if quiet && state.open.get() > 0 && self.sparse.is_none_or(|sparse| now >= sparse) {
                // An error means that the connection is ending, which it will say itself.
                self.asked = self.ping.send_ping(Ping::opaque()).is_ok();
                self.sparse = Some(now + SPARSE);
                self.settings.ping_timeout
            } else {
                self.settings.ping_interval
            };
            self.deadline.set(now + pause);
        }
    }
}
