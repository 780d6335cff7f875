//! What a worker serves with, from generation to generation: most of it goes on, the rest is replaced between two polls of its tasks, so that
//! no connection sees half of either.

use super::door::DoorKeeper;
use super::errands::{self, Ways};
use super::filters::HeldGuests;
use super::services::{Outside, Services};
use super::ticks::Ticks;
use super::worker::{Change, Means, Waiting};
use crate::certs::Outbound;
use crate::config::Limits;
use crate::listen::{Accepting, Entrance, Gate, Handler, Reception, Shutdown, Stopper, accept, stopping};
use crate::observe::WorkerTally;
use crate::proxy::{Outgoing, Proxy};
use crate::sandbox::{Errands, Guests};
use crate::tunnel::Ledger;
use crate::upstream::{Drains, Seal, Seats, Sets, Shared, Upstreams};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A generation that the worker is ready to turn to: its sockets are in the runtime's hands.
pub struct Ready {
    change: Change,
    sockets: BTreeMap<u64, Accepting>,
}

/// A worker's place of work.
pub struct Floor {
    /// Its number in the process, and how many workers there are.
    worker: (u16, u16),
    gate: Arc<Gate>,
    ways: Rc<Ways>,
    errands: Errands,
    outside: Outside,
    guests: HeldGuests,
    ticks: Ticks,
    doors: Rc<DoorKeeper>,
    ledger: Rc<Ledger>,
    proxy: Rc<Proxy<Guests>>,
    tally: Option<Arc<WorkerTally>>,
    listeners: Rc<RefCell<BTreeMap<u64, Open>>>,
    /// Of listeners that are open, or still have connections.
    tasks: JoinSet<()>,
    /// What looks after earlier generations; nothing waits for it.
    timers: JoinSet<()>,
}

/// A listener at work.
struct Open {
    reception: Rc<dyn Receives>,
    /// Dropping it closes the listening socket.
    stopper: Stopper,
    /// When that has happened.
    closed: oneshot::Receiver<()>,
}

impl Ready {
    /// Errors: a socket cannot be registered.
    pub fn new(mut change: Change) -> io::Result<Self> {
        let new = change.listeners.iter_mut().filter_map(|waiting| Some((waiting.id, waiting.socket.take()?)));
        let sockets = new.map(|(id, socket)| Ok((id, Accepting::new(socket)?))).collect::<io::Result<_>>()?;
        Ok(Self { change, sockets })
    }
}

impl Floor {
    /// The first generation.
    pub fn open(means: Means, mut ready: Ready) -> Self {
        let Means { number, workers, gate, access, tunnel_access, tally } = means;
        let tracer = ready.change.tracer.take();
        let limits = Arc::new(ready.change.snapshot.limits.clone());
        let outside = Outside::default();
        let supply = Supply::of(&mut ready.change, (&outside, &limits), workers);
        let sets = supply.now();
        let upstreams = Upstreams::counting(&sets.specs, &supply.outbound, &limits, tally.as_deref(), supply.shared(&sets));
        let ways = Ways::new(Rc::clone(&upstreams), limits);
        upstreams.place(&supply.services.on_worker(&outside));
        let change = &ready.change;
        let errands = errands::run(Rc::clone(&ways));
        // Set once.
        let _ = outside.set(errands.downgrade());
        let guests = HeldGuests::default().succeed(&change.filters, &errands);
        let supplied = supply.go_on(Rc::downgrade(&upstreams));
        let proxy = Proxy::new(number, (access, tally.clone()), Arc::clone(&change.snapshot), guests.all(), upstreams, tracer);
        let mut floor = Self {
            worker: (number, workers),
            gate,
            errands,
            outside,
            ticks: Ticks::default().succeed(&guests.all(), (number, workers)),
            guests,
            doors: DoorKeeper::new(number, Rc::clone(&ways)),
            ledger: Ledger::new(number, change.snapshot.access_log, tunnel_access, tally.clone()),
            ways,
            proxy,
            tally,
            listeners: Rc::default(),
            tasks: JoinSet::new(),
            timers: JoinSet::new(),
        };
        floor.timers.spawn_local(supplied);
        floor.ledger.write_as(ready.change.snapshot.access_log, &ready.change.snapshot.access_rules);
        floor.arrange(ready);
        floor
    }

    /// The next generation. `done` hears when listeners that are gone are closed.
    pub fn turn(&mut self, mut ready: Ready, done: oneshot::Sender<()>) {
        while self.tasks.try_join_next().is_some() {}
        while self.timers.try_join_next().is_some() {}
        let tracer = ready.change.tracer.take();
        let patience = self.proxy.snapshot().limits.stop;
        let limits = Arc::new(ready.change.snapshot.limits.clone());
        let supply = Supply::of(&mut ready.change, (&self.outside, &limits), self.worker.1);
        let sets = supply.now();
        let upstreams = self.ways.now().succeed(&sets.specs, &supply.outbound, &limits, self.tally.as_deref(), supply.shared(&sets));
        upstreams.place(&supply.services.on_worker(&self.outside));
        self.timers.spawn_local(supply.go_on(Rc::downgrade(&upstreams)));
        let change = &ready.change;
        self.ways.turn(Rc::clone(&upstreams), limits);
        self.guests = self.guests.succeed(&change.filters, &self.errands);
        self.ticks = self.ticks.succeed(&self.guests.all(), self.worker);
        self.ledger.write_as(change.snapshot.access_log, &change.snapshot.access_rules);
        let earlier = self.proxy.install(Arc::clone(&change.snapshot), self.guests.all(), upstreams, tracer);
        self.timers.spawn_local(see_out(earlier, patience, Rc::clone(&self.listeners)));
        let closing = self.arrange(ready);
        self.timers.spawn_local(async move {
            for closed in closing {
                // An error means that it is closed too.
                let _ = closed.await;
            }
            // Nobody listens any more if the whole process is being stopped.
            let _ = done.send(());
        });
    }

    /// Opens, changes and closes listeners; returns those that are being closed.
    fn arrange(&mut self, Ready { change, mut sockets }: Ready) -> Vec<oneshot::Receiver<()>> {
        let mut before = self.listeners.take();
        let limits = Arc::new(change.snapshot.limits.clone());
        let mut listeners = BTreeMap::new();
        for waiting in change.listeners {
            let (id, renewed) = (waiting.id, waiting.renewed);
            let entrance = self.entrance(waiting, &limits);
            match (before.remove(&id), sockets.remove(&id)) {
                (Some(open), _) => {
                    if renewed {
                        self.tasks.spawn_local(Rc::clone(&open.reception).renew(entrance));
                    } else {
                        open.reception.change(entrance);
                    }
                    listeners.insert(id, open);
                }
                (None, Some(socket)) => drop(listeners.insert(id, self.receive(socket, entrance))),
                // Not so: what is not there comes with a socket.
                (None, None) => {}
            }
        }
        self.listeners.replace(listeners);
        before.into_values().map(|Open { stopper, closed, .. }| (drop(stopper), closed).1).collect()
    }

    fn entrance(&self, waiting: Waiting, limits: &Arc<Limits>) -> Entrance {
        let Waiting { name, course, door, proxy_protocol, .. } = waiting;
        let door = door.map(|plan| self.doors.door(&plan, &self.guests, &name, course.reach()));
        let kind = course.kind(limits, &self.ways.now(), &self.ledger);
        Entrance { kind, door, proxy_protocol, limits: Arc::clone(limits), tally: self.tally.clone() }
    }

    fn receive(&mut self, socket: Accepting, entrance: Entrance) -> Open {
        let reception = Reception::new(entrance, handler(Rc::clone(&self.proxy)));
        let (stopper, shutdown) = stopping();
        let (told, closed) = oneshot::channel();
        self.tasks.spawn_local(serve(socket, Rc::clone(&reception), Arc::clone(&self.gate), shutdown, told));
        Open { reception, stopper, closed }
    }

    /// Closes all listeners, and waits until their connections have ended. `handed_over`: another process accepts at the same sockets.
    pub async fn close(mut self, handed_over: bool) {
        let listeners = self.listeners.take();
        listeners.values().filter(|_| handed_over).for_each(|open| open.stopper.hand_over());
        drop(listeners);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Where a generation's upstreams get their servers.
struct Supply {
    sets: watch::Receiver<Arc<Sets>>,
    outbound: Arc<Outbound>,
    services: Arc<Services>,
    outside: Outside,
    limits: Arc<Limits>,
    drains: Arc<Drains>,
    seats: Arc<Seats>,
    seal: Seal,
    workers: u16,
}

impl Supply {
    /// What is found from now on is new.
    fn of(change: &mut Change, (outside, limits): (&Outside, &Arc<Limits>), workers: u16) -> Self {
        change.sets.mark_unchanged();
        Self {
            sets: change.sets.clone(),
            outbound: Arc::clone(&change.outbound),
            services: Arc::clone(&change.services),
            outside: Rc::clone(outside),
            limits: Arc::clone(limits),
            drains: Arc::clone(&change.drains),
            seats: Arc::clone(&change.seats),
            seal: change.seal.clone(),
            workers,
        }
    }

    fn now(&self) -> Arc<Sets> {
        Arc::clone(&self.sets.borrow())
    }

    fn shared<'s>(&'s self, sets: &'s Sets) -> Shared<'s> {
        Shared { board: &sets.board, drains: &self.drains, seats: &self.seats, seal: &self.seal, workers: self.workers }
    }

    /// Passes on what is found, until the generation is gone.
    async fn go_on(mut self, upstreams: Weak<Upstreams>) {
        while self.sets.changed().await.is_ok() {
            let sets = Arc::clone(&self.sets.borrow_and_update());
            let Some(upstreams) = upstreams.upgrade() else { return };
            upstreams.refill(&sets.specs, &self.outbound, &self.limits, self.shared(&sets), &self.services.on_worker(&self.outside));
        }
    }
}

async fn serve<H: Handler>(
    socket: Accepting,
    reception: Rc<Reception<H>>,
    gate: Arc<Gate>,
    shutdown: Shutdown,
    closed: oneshot::Sender<()>,
) {
    accept(socket, &reception, &gate, shutdown.clone()).await;
    // Nobody listens if the whole process is being stopped.
    let _ = closed.send(());
    reception.leave(shutdown.is_handing_over()).await;
}

/// Gives the exchanges of an earlier generation their time.
async fn see_out(earlier: Outgoing<Guests>, patience: Duration, listeners: Rc<RefCell<BTreeMap<u64, Open>>>) {
    sleep(patience).await;
    if earlier.is_gone() {
        return;
    }
    earlier.end();
    // Collected first: rousing may run code that looks at the list. Listeners that are gone have seen to theirs.
    let receptions: Vec<_> = listeners.borrow().values().map(|open| Rc::clone(&open.reception)).collect();
    receptions.iter().for_each(|reception| reception.rouse());
}

/// [`Reception`], whatever its handler is.
trait Receives {
    fn change(&self, entrance: Entrance);
    fn renew(self: Rc<Self>, entrance: Entrance) -> Pin<Box<dyn Future<Output = ()>>>;
    fn rouse(&self);
}

impl<H: Handler> Receives for Reception<H> {
    fn change(&self, entrance: Entrance) {
        Self::change(self, entrance);
    }

    fn renew(self: Rc<Self>, entrance: Entrance) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(Self::renew(&self, entrance))
    }

    fn rouse(&self) {
        Self::rouse(self);
    }
}

fn handler(proxy: Rc<Proxy<Guests>>) -> impl Handler {
    move |connection, request| Rc::clone(&proxy).handle(connection, request)
}
