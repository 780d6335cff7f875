//! One core: a thread with a runtime, listeners, upstreams and guests of its own. Workers share nothing on a request's path.

use super::corridors::Course;
use super::door::{DoorKeeper, DoorPlan};
use super::errands;
use crate::certs::Outbound;
use crate::config::{Peers, UpstreamName, UpstreamSpec};
use crate::listen::{self, Gate, Handler, Listener, Listening, Shutdown};
use crate::observe::access::AccessWriter;
use crate::observe::{Tracer, WorkerTally};
use crate::proxy::{Proxy, Snapshot};
use crate::sandbox::Guests;
use crate::tunnel::Ledger;
use crate::upstream::Upstreams;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// What a worker gets. All of it can cross threads; what cannot is made on the worker.
pub struct Work {
    pub number: u16,
    pub snapshot: Arc<Snapshot>,
    pub upstreams: Arc<BTreeMap<UpstreamName, UpstreamSpec>>,
    pub outbound: Arc<Outbound>,
    pub filters: Arc<super::filters::Filters>,
    pub listeners: Vec<Waiting>,
    pub gate: Arc<Gate>,
    pub access: AccessWriter,
    pub tunnel_access: AccessWriter,
    /// `None`: nobody collects numbers.
    pub tally: Option<Arc<WorkerTally>>,
    pub tracer: Option<Tracer>,
    pub shutdown: Shutdown,
}

/// A listener of this worker.
pub struct Waiting {
    pub socket: Listening,
    pub course: Course,
    pub door: Option<DoorPlan>,
    pub proxy_protocol: Arc<Peers>,
}

/// Starts a worker. It ends when it is told to stop and its connections have ended.
pub fn spawn(work: Work) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(format!("worker-{}", work.number)).spawn(move || work.run())
}

impl Work {
    fn run(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let limits = Arc::new(self.snapshot.limits.clone());
        let upstreams = Upstreams::counting(&self.upstreams, &self.outbound, &limits, self.tally.as_deref());
        let errands = errands::run(Rc::clone(&upstreams), Arc::clone(&limits));
        let filters: Rc<[Guests]> = self.filters.on_worker(&errands).into();
        drop(errands);
        let keeper = DoorKeeper::new(self.number, Rc::clone(&filters), Rc::clone(&upstreams));
        let ledger = Ledger::new(self.number, self.snapshot.access_log, self.tunnel_access, self.tally.clone());
        let opened = |waiting: Waiting| {
            let Waiting { socket, course, door, proxy_protocol } = waiting;
            let door = door.map(|plan| keeper.door(&plan, socket.name(), course.reach()));
            Listener { socket, kind: course.kind(&limits, &upstreams, &ledger), door, proxy_protocol, tally: self.tally.clone() }
        };
        let listeners: Vec<_> = self.listeners.into_iter().map(opened).collect();
        let proxy = Proxy::new(self.number, (self.access, self.tally, self.tracer), self.snapshot, filters, upstreams);
        let handler = handler(proxy);
        let serving: Vec<_> = listeners
            .into_iter()
            .map(|listener| spawn_local(listen::serve(listener, limits.clone(), self.gate.clone(), handler.clone(), self.shutdown.clone())))
            .collect();
        for listener in serving {
            listener.await.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

fn handler(proxy: Rc<Proxy<Guests>>) -> impl Handler {
    move |connection, request| Rc::clone(&proxy).handle(connection, request)
}
