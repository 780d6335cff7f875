//! One core: a thread with a runtime, listeners, upstreams and guests of its own. Workers share nothing on a request's path.
//!
//! A worker is told of each generation twice: first to get ready for it, which can fail, then to turn to it, which cannot. So a generation is
//! served by all workers or by none.

use super::corridors::Course;
use super::door::DoorPlan;
use super::filters::Filters;
use super::floor::{Floor, Ready};
use super::services::Services;
use crate::certs::Outbound;
use crate::config::Peers;
use crate::listen::{Gate, Listening, Shutdown};
use crate::observe::access::AccessWriter;
use crate::observe::{Tracer, WorkerTally};
use crate::proxy::Snapshot;
use crate::upstream::{Drains, Seal, Seats, Sets};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};

/// What a worker gets once. All of it can cross threads; what cannot is made on the worker.
pub struct Means {
    pub number: u16,
    /// How many there are.
    pub workers: u16,
    pub gate: Arc<Gate>,
    pub access: AccessWriter,
    pub tunnel_access: AccessWriter,
    /// `None`: nobody collects numbers.
    pub tally: Option<Arc<WorkerTally>>,
}

/// A generation, as one worker gets it.
pub struct Change {
    pub snapshot: Arc<Snapshot>,
    /// The servers of upstreams, which may come and go while it is served.
    pub sets: watch::Receiver<Arc<Sets>>,
    pub outbound: Arc<Outbound>,
    pub filters: Arc<Filters>,
    pub services: Arc<Services>,
    /// `None`: nothing is traced.
    pub tracer: Option<Tracer>,
    /// Which servers an operator has taken out.
    pub drains: Arc<Drains>,
    /// How many connections servers have.
    pub seats: Arc<Seats>,
    /// Of cookies that name servers.
    pub seal: Seal,
    /// All there are from then on.
    pub listeners: Vec<Waiting>,
}

/// A listener of this worker.
pub struct Waiting {
    pub id: u64,
    /// `None`: it is there already.
    pub socket: Option<Listening>,
    /// Its address, for logs and links.
    pub name: String,
    pub course: Course,
    pub door: Option<DoorPlan>,
    /// The door is another than before.
    pub renewed: bool,
    pub proxy_protocol: Arc<Peers>,
}

/// What a worker is told.
enum Order {
    Prepare(Box<Change>, oneshot::Sender<io::Result<()>>),
    /// What was prepared last is not turned to.
    Forget,
    /// To say that it is there.
    Answer(oneshot::Sender<()>),
    /// To what was prepared last. Answered when listeners that are gone are closed.
    Turn(oneshot::Sender<()>),
}

/// Whoever gives a worker orders. Dropping it changes nothing for the worker.
pub struct Foreman {
    pub thread: JoinHandle<io::Result<()>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// Whether a worker gets to its tasks.
pub struct Pulse(mpsc::UnboundedSender<Order>);

impl Pulse {
    /// Until it has answered; errors: it never will.
    pub async fn beat(&self) -> Result<(), Ended> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Order::Answer(answer)).map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}

/// The worker has ended before its time.
#[derive(Debug, thiserror::Error)]
#[error("a worker has ended")]
pub struct Ended;

impl Foreman {
    /// Starts a worker. It ends when it is told to stop and its connections have ended.
    pub fn start(means: Means, shutdown: Shutdown) -> io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(format!("worker-{}", means.number)).spawn(move || run(means, received, shutdown))?;
        Ok(Self { thread, orders })
    }

    pub fn pulse(&self) -> Pulse {
        Pulse(self.orders.clone())
    }

    /// Errors: it cannot get ready, and goes on as before.
    pub async fn prepare(&self, change: Change) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Prepare(Box::new(change), answer)).map_err(|_| io::Error::other(Ended))?;
        answered.await.map_err(|_| io::Error::other(Ended))?
    }

    /// Somebody else could not get ready.
    pub fn forget(&self) {
        // Who has ended has forgotten too.
        let _ = self.orders.send(Order::Forget);
    }

    pub async fn turn(&self) -> Result<(), Ended> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Turn(answer)).map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}

fn run(means: Means, orders: mpsc::UnboundedReceiver<Order>, shutdown: Shutdown) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve(means, orders, shutdown));
    Ok(())
}

async fn serve(means: Means, mut orders: mpsc::UnboundedReceiver<Order>, mut shutdown: Shutdown) {
    let mut means = Some(means);
    let (mut floor, mut ready): (Option<Floor>, Option<Ready>) = (None, None);
    loop {
        let order = tokio::select! {
            // Both are cancel-safe.
            order = orders.recv() => order,
            () = shutdown.draining() => break,
        };
        match order {
            Some(Order::Prepare(change, answer)) => {
                let made = Ready::new(*change).map(|made| ready = Some(made));
                // Nobody listens any more if the whole process is being stopped.
                let _ = answer.send(made);
            }
            Some(Order::Forget) => ready = None,
            // Nobody listens any more if it was too long ago.
            Some(Order::Answer(answer)) => drop(answer.send(())),
            Some(Order::Turn(answer)) => match (ready.take(), &mut floor, means.take()) {
                (Some(ready), Some(floor), _) => floor.turn(ready, answer),
                (Some(ready), None, Some(means)) => {
                    floor = Some(Floor::open(means, ready));
                    let _ = answer.send(());
                }
                // Not so: what is turned to was prepared.
                _ => {}
            },
            // Nobody has orders any more, but for the one to stop.
            None => shutdown.draining().await,
        }
    }
    // Whoever still waits for an answer gets none.
    drop(orders);
    if let Some(floor) = floor {
        floor.close(shutdown.is_handing_over()).await;
    }
}
