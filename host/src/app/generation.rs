//! One generation as the process holds it, and the count of those that are not gone yet.

use super::checks::Checks;
use super::corridors::{Course, Courses};
use super::door::{DoorPlan, DoorPlans};
use super::inherited::Inherited;
use super::keeper;
use super::listeners::{self, Bound, Listener};
use super::prepare::Prepared;
use super::watch::Watch;
use super::worker::{Change, Waiting};
use crate::config::{Config, Report};
use crate::observe::Tracer;
use crate::observe::otlp::{LogRecord, Outlet, Outlets};
use crate::proxy::Snapshot;
use crate::sandbox::Configured;
use crate::upstream::{Discovery, Drains, Seats};
use rustls::KeyLog;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A prepared configuration with its addresses bound.
pub struct Generation {
    pub number: u64,
    pub prepared: Prepared,
    pub listeners: Vec<Bound>,
    pub snapshot: Arc<Snapshot>,
    courses: Courses,
    doors: DoorPlans,
    /// `None`: no collector is told anything.
    outlets: Option<Arc<Outlets>>,
    checks: Checks,
    /// The process's.
    drains: Arc<Drains>,
    seats: Arc<Seats>,
}

/// Why a configuration that is right cannot be served here.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error("{}", .0.text())]
    Bind(Report),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("there is no thread for what a collector is told to be had: {0}")]
    Telemetry(io::Error),
    #[error("servers cannot be looked at: {0}")]
    Checks(io::Error),
}

impl Generation {
    /// Binds what is not bound yet. Also returned: what each worker is to be told.
    pub fn assemble(
        watch: &Arc<Watch>,
        prepared: Prepared,
        (before, inherited): (Option<&Self>, &mut Inherited),
        workers: usize,
        key_log: Option<&Arc<dyn KeyLog>>,
    ) -> Result<(Self, Vec<Change>), AssembleError> {
        let number = before.map_or(1, |before| before.number + 1);
        let config = &prepared.config;
        let bound = before.map(|before| &*before.listeners).unwrap_or_default();
        let listeners = listeners::bind(config, workers, bound, inherited).map_err(|problems| {
            let mut report = prepared.report.clone();
            report.add(problems);
            AssembleError::Bind(report)
        })?;
        let courses = Course::all(config, &prepared.papers, key_log, before.map(|before| &before.courses))?;
        let doors = DoorPlan::all(config, &prepared.filters, before.map(|before| &before.doors));
        // `prepare` gives every link a filter, or fails.
        let snapshot = Snapshot::new(number, config, |link| prepared.filters.index(link).unwrap_or(usize::MAX));
        let mut snapshot = snapshot.showing(keeper::proofs(config, prepared.papers.store.challenges()));
        // The port that the kernel chose, for redirects.
        let port = listeners.iter().find_map(|listener| listener.bound.speaks.https().then(|| listener.bound.address.port()).flatten());
        snapshot.https_port = port.unwrap_or(snapshot.https_port);
        let outlets = outlets(watch, config, before).map_err(AssembleError::Telemetry)?;
        let all = listeners.iter().map(|listener| listener.bound.clone()).collect();
        let upstreams = Arc::new(config.upstreams.clone());
        let (outbound, terms) = (&prepared.papers.outbound, (&config.server, &config.limits));
        let checks = Checks::start(&upstreams, outbound, terms, before.map(|before| &before.checks)).map_err(AssembleError::Checks)?;
        let generation = Self {
            number,
            listeners: all,
            snapshot: Arc::new(snapshot),
            courses,
            doors,
            outlets,
            checks,
            drains: Arc::clone(&watch.drains),
            seats: Arc::clone(&watch.seats),
            prepared,
        };
        let changes = generation.changes(listeners, before, workers);
        Ok((generation, changes))
    }

    /// Where lines of logs go besides.
    pub fn logs(&self) -> Option<Outlet<LogRecord>> {
        self.outlets.as_ref().and_then(|outlets| outlets.logs.clone())
    }

    /// Which servers there are, and which are down.
    pub const fn discovery(&self) -> &Arc<Discovery> {
        &self.checks.discovery
    }

    /// In one line, for whoever asks how we are.
    pub fn words(&self) -> String {
        let config = &self.prepared.config;
        let routes: usize = config.sites.iter().map(|site| site.routes.len()).sum();
        format!("serving generation {}: {} sites, {routes} routes, {} TCP listeners", self.number, config.sites.len(), config.tcp.len())
    }

    fn changes(&self, listeners: Vec<Listener>, before: Option<&Self>, workers: usize) -> Vec<Change> {
        let config = &self.prepared.config;
        let change = |_| Change {
            snapshot: self.snapshot.clone(),
            sets: self.checks.discovery.follow(),
            outbound: self.prepared.papers.outbound.clone(),
            filters: self.prepared.filters.clone(),
            services: self.prepared.services.clone(),
            tracer: self.tracer(),
            drains: Arc::clone(&self.drains),
            seats: Arc::clone(&self.seats),
            seal: self.prepared.seal.clone(),
            listeners: Vec::with_capacity(listeners.len()),
        };
        let mut changes: Vec<Change> = (0..workers).map(change).collect();
        for Listener { bound, sockets } in listeners {
            let door = self.doors.of(bound.speaks);
            let renewed = before.is_some_and(|before| !before.has_door(bound.id, door.as_ref()));
            let course = self.courses.of(bound.speaks);
            let course = if door.as_ref().is_some_and(DoorPlan::wants_hellos) { course.seeing_hellos() } else { course };
            let proxy_protocol = listeners::proxy_protocol(config, bound.speaks);
            let mut sockets = sockets.into_iter();
            for change in &mut changes {
                change.listeners.push(Waiting {
                    id: bound.id,
                    socket: sockets.next(),
                    name: bound.address.to_string(),
                    course: course.clone(),
                    door: door.clone(),
                    renewed,
                    proxy_protocol: proxy_protocol.clone(),
                });
            }
        }
        changes
    }

    /// One worker's.
    fn tracer(&self) -> Option<Tracer> {
        let (spans, spec) = (self.outlets.as_ref()?.spans.as_ref()?, self.prepared.config.observe.as_ref()?);
        Some(Tracer::new(spans.clone(), spec.sample))
    }

    /// Whether connections to this listener met such a door.
    fn has_door(&self, id: u64, door: Option<&DoorPlan>) -> bool {
        let own = self.listeners.iter().find(|bound| bound.id == id).map(|bound| self.doors.of(bound.speaks));
        match (own.flatten(), door) {
            (None, None) => true,
            (Some(own), Some(door)) => own.is_as(door),
            _ => false,
        }
    }
}

/// What a collector is told: as before, if that is the same.
fn outlets(watch: &Arc<Watch>, config: &Config, before: Option<&Generation>) -> io::Result<Option<Arc<Outlets>>> {
    let Some(spec) = &config.observe else { return Ok(None) };
    let earlier = before.filter(|before| before.prepared.config.observe.as_ref().is_some_and(|earlier| earlier.goes_where(spec)));
    match earlier.and_then(|before| before.outlets.clone()) {
        Some(outlets) => Ok(Some(outlets)),
        None => watch.exporters.start(spec, &watch.registry.exports, watch.numbers()).map(|outlets| Some(Arc::new(outlets))),
    }
}

/// Which generations there are. One that has been replaced is there until nothing of it runs any more.
#[derive(Default)]
pub struct Generations {
    serving: AtomicU64,
    /// A lock, because it is taken by reloads and by whoever asks.
    all: Mutex<Vec<Traces>>,
}

/// What is left of a generation.
struct Traces {
    number: u64,
    snapshot: Weak<Snapshot>,
    /// Without what later ones share with it.
    filters: Vec<Weak<Configured>>,
}

impl Traces {
    fn is_there(&self) -> bool {
        self.snapshot.strong_count() > 0 || self.filters.iter().any(|filter| filter.strong_count() > 0)
    }
}

impl Generations {
    /// From now on this one is served.
    pub fn turn(&self, next: &Generation) {
        let filters = next.prepared.filters.all();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for earlier in all.iter_mut() {
            earlier.filters.retain(|filter| filter.upgrade().is_some_and(|filter| !filters.iter().any(|next| Arc::ptr_eq(next, &filter))));
        }
        all.retain(Traces::is_there);
        let filters = filters.iter().map(Arc::downgrade).collect();
        self.serving.store(next.number, Ordering::Relaxed);
        all.push(Traces { number: next.number, snapshot: Arc::downgrade(&next.snapshot), filters });
    }

    /// The number of the one that is served.
    pub fn serving(&self) -> u64 {
        self.serving.load(Ordering::Relaxed)
    }

    /// How many there are, the one that is served included.
    pub fn alive(&self) -> usize {
        self.numbers().len()
    }

    /// Those that are there, oldest first.
    pub fn numbers(&self) -> Vec<u64> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|generation| generation.is_there()).map(|generation| generation.number).collect()
    }
}
