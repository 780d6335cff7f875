//! `portcullis run`: prepare, bind, start the workers, wait for the word to stop.

use super::corridors::Course;
use super::door::DoorPlan;
use super::keeper;
use super::listeners::{self, Listener, Speaks};
use super::prepare::{PrepareError, Prepared, prepare};
use super::watch::{Watch, WatchError, watch};
use super::worker::{self, Waiting, Work};
use crate::certs::KeyLogFile;
use crate::config::{self, Config, Report};
use crate::listen::{Gate, Shutdown, stopping};
use crate::observe::otlp::Exporter;
use crate::observe::{Tracer, access::AccessOutput, start_log};
use crate::proxy::Snapshot;
use rustls::KeyLog;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

/// Why the proxy does not serve (any more).
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("{}", .0.text())]
    Bind(Report),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the TLS key log {} cannot be used: {source}", path.display())]
    KeyLog {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the system refuses what a proxy needs: {0}")]
    System(#[from] io::Error),
    #[error("worker {0} ended by a defect of ours; please report it with the log above")]
    Worker(usize),
    #[error("the keeper of certificates ended by a defect of ours; please report it with the log above")]
    Keeper,
}

/// The first generation's number.
const FIRST: u64 = 1;

/// Serves the configuration in `path` until SIGTERM or SIGINT, then finishes what runs.
/// `key_log`: a file for the secrets of all TLS connections.
pub fn run(path: &Path, key_log: Option<&Path>) -> Result<(), StartError> {
    let begun = Instant::now();
    start_log();
    raise_file_limit();
    let (config, report) = config::load(path).map_err(PrepareError::Config)?;
    let board = Arc::<Watch>::default();
    // Before all that may take its time, so that whoever watches can tell starting from dead.
    let _watching = watched(&config, &report, &board)?;
    let prepared = prepare(config, report, &board)?;
    let workers = prepared.config.server.workers.or(std::thread::available_parallelism().ok()).map_or(1, usize::from);
    let (listeners, prepared) = bind(prepared, workers)?;
    // Registered before anyone is told that we are ready: from then on SIGTERM must not kill.
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _context = waiting.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    announce(path, &prepared, &listeners);
    let key_log = key_log.map(open_key_log).transpose()?;
    let (stopper, shutdown) = stopping();
    let access = AccessOutput::start(io::stdout())?;
    let mut listeners = listeners;
    // Removed when nobody waits there any more, also if the start fails.
    let _files: Vec<_> = listeners.iter_mut().filter_map(|listener| listener.file.take()).collect();
    let stores: Vec<_> = prepared.tcp_stores.iter().flatten().chain([&prepared.store]).cloned().collect();
    let outbound = prepared.outbound.clone();
    let generation = board.registry.generation(FIRST);
    // Dropped after the workers, whose last spans it then sends.
    let exporter = prepared.config.observe.as_ref().map(|spec| Exporter::start(spec, &board.registry)).transpose()?;
    let running = start(prepared, listeners, workers, &access, &shutdown, key_log, (&board, exporter.as_ref()))?;
    // After the workers: what CAs look for must be shown by then.
    let keeper = keeper::start(&stores, &outbound, shutdown)?;
    tracing::info!("ready in {} ms", begun.elapsed().as_millis());
    waiting.block_on(async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    });
    tracing::info!("stopping: running requests are finished, a second signal ends them");
    board.draining();
    stopper.drain();
    std::thread::spawn(move || {
        waiting.block_on(async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        });
        std::process::exit(1);
    });
    join(running)?;
    drop(exporter);
    if let Some(keeper) = keeper {
        keeper.join().map_err(|_panic| StartError::Keeper)?;
    }
    drop(generation);
    tracing::info!("stopped");
    Ok(())
}

fn watched(config: &Config, report: &Report, board: &Arc<Watch>) -> Result<Option<super::watch::Watching>, StartError> {
    watch(config.admin.as_ref(), board).map_err(|error| match error {
        WatchError::System(error) => StartError::System(error),
        WatchError::Bind(problems) => {
            let mut report = report.clone();
            report.add(problems);
            StartError::Bind(report)
        }
    })
}

fn open_key_log(path: &Path) -> Result<Arc<dyn KeyLog>, StartError> {
    let file = KeyLogFile::open(path).map_err(|source| StartError::KeyLog { path: path.into(), source })?;
    tracing::warn!(
        "THE SECRETS OF ALL TLS CONNECTIONS ARE WRITTEN TO {}: whoever reads it can read everything that is sent",
        path.display()
    );
    Ok(Arc::new(file))
}

/// Binds, and puts the ports that the kernel chose into the configuration, where redirects take them from.
fn bind(mut prepared: Prepared, workers: usize) -> Result<(Vec<Listener>, Prepared), StartError> {
    let listeners = listeners::bind(&prepared.config, workers).map_err(|problems| {
        let mut report = prepared.report.clone();
        report.add(problems);
        StartError::Bind(report)
    })?;
    let of = |wanted: fn(Speaks) -> bool| {
        listeners.iter().filter(move |listener| wanted(listener.speaks)).map(|listener| (listener.address.clone(), None)).collect()
    };
    prepared.config.listen.https = of(Speaks::https);
    prepared.config.listen.http = of(|speaks| speaks == Speaks::Http);
    Ok((listeners, prepared))
}

/// Says what listens where, and what is doubtful.
fn announce(path: &Path, prepared: &Prepared, listeners: &[Listener]) {
    if prepared.report.warnings() > 0 {
        eprint!("{}", prepared.report.text());
    }
    let routes: usize = prepared.config.sites.iter().map(|site| site.routes.len()).sum();
    tracing::info!(
        "portcullis {} generation {FIRST} of {}: {} sites, {routes} routes, {} upstreams, {} filters",
        env!("CARGO_PKG_VERSION"),
        path.display(),
        prepared.config.sites.len(),
        prepared.config.upstreams.len(),
        prepared.filters.len(),
    );
    for listener in listeners {
        let speaks = listener.speaks;
        let words = [(speaks == Speaks::Http, "http"), (speaks.https(), "https"), (speaks.tcp(), "tcp")];
        for (_, word) in words.iter().filter(|(spoken, _)| *spoken) {
            tracing::info!("listening {word} {}", listener.address);
        }
    }
}

fn start(
    prepared: Prepared,
    listeners: Vec<Listener>,
    workers: usize,
    access: &AccessOutput,
    shutdown: &Shutdown,
    key_log: Option<Arc<dyn KeyLog>>,
    (board, exporter): (&Watch, Option<&Exporter>),
) -> Result<Vec<JoinHandle<io::Result<()>>>, StartError> {
    let Prepared { config, filters, store, tickets, outbound, tcp_stores, sandbox, .. } = prepared;
    // For as long as the process lives: guests of every generation run in it.
    Box::leak(Box::new(sandbox));
    // `prepare` gives every link a filter, or fails.
    let snapshot = Snapshot::new(FIRST, &config, |link| filters.index(link).unwrap_or(usize::MAX));
    let snapshot = Arc::new(snapshot.showing(keeper::proofs(&config, store.challenges())));
    let gate = Gate::new(&config.limits);
    board.serving(&gate, access);
    let courses = Course::all(&config, store, tcp_stores, &tickets, key_log)?;
    let doors = DoorPlan::all(&config, &filters);
    let (filters, upstreams) = (Arc::new(filters), Arc::new(config.upstreams.clone()));
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in listeners {
        let door = doors.of(listener.speaks);
        let course = courses.of(listener.speaks);
        let course = if door.as_ref().is_some_and(DoorPlan::wants_hellos) { course.seeing_hellos() } else { course };
        let proxy_protocol = listeners::proxy_protocol(&config, listener.speaks);
        for (own, socket) in sockets.iter_mut().zip(listener.sockets) {
            own.push(Waiting { socket, course: course.clone(), door: door.clone(), proxy_protocol: proxy_protocol.clone() });
        }
    }
    let mut running = Vec::new();
    for (number, listeners) in (0..).zip(sockets) {
        running.push(worker::spawn(Work {
            number,
            snapshot: snapshot.clone(),
            upstreams: upstreams.clone(),
            outbound: outbound.clone(),
            filters: filters.clone(),
            listeners,
            gate: gate.clone(),
            access: access.writer(),
            tunnel_access: access.writer(),
            tally: config.admin.is_some().then(|| board.registry.worker()),
            tracer: config.observe.as_ref().and_then(|spec| Some(Tracer::new(exporter?.outlet()?, spec.sample))),
            shutdown: shutdown.clone(),
        })?);
    }
    Ok(running)
}

fn join(running: Vec<JoinHandle<io::Result<()>>>) -> Result<(), StartError> {
    for (number, worker) in running.into_iter().enumerate() {
        worker.join().map_err(|_panic| StartError::Worker(number))??;
    }
    Ok(())
}

/// Each connection is a file, and so is each connection to an upstream: the usual soft limit of 1,024 is far below our own of 20,000.
#[allow(unsafe_code, reason = "getrlimit(2) and setrlimit(2) have no wrapper in std; the struct is ours and valid for both calls")]
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    if !raised {
        tracing::warn!("the limit on open files cannot be raised: {}", io::Error::last_os_error());
    }
}
