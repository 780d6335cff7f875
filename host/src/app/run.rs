//! `portcullis run`: prepare, bind, start the workers, then do what is asked until the word to stop comes.

use super::control::{self, Asked, Control, Question};
use super::generation::{AssembleError, Generation};
use super::handover::{self, Origin};
use super::inherited::Inherited;
use super::keeper::Keepers;
use super::lookout::Lookout;
use super::prepare::{self, Base, PrepareError, Written};
use super::reload::Process;
use super::systemd::Manager;
use super::watch::{Watch, WatchError, Watching, watch};
use super::worker::{Foreman, Means, Pulse};
use crate::certs::KeyLogFile;
use crate::config::Recorded;
use crate::listen::{Gate, Shutdown, stopping};
use crate::observe::{access::AccessOutput, start_log};
use rustls::KeyLog;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Why the proxy does not serve (any more).
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
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
}

/// Serves the configuration in `path` until SIGTERM or SIGINT, then finishes what runs.
/// `key_log`: a file for the secrets of all TLS connections.
pub fn run(path: &Path, key_log: Option<&Path>) -> Result<(), StartError> {
    let begun = Instant::now();
    start_log();
    let (mut inherited, manager) = (Inherited::of_environment(), Arc::new(Manager::of_environment()));
    let origin = Origin::of_process()?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (read, written) = prepare::read(path);
    let written = written?;
    let board = Arc::<Watch>::default();
    // Before all that may take its time, so that whoever watches can tell starting from dead.
    let watching = watched(&written, &board, &mut inherited)?;
    let base = Base::open(path, &written.config, Arc::clone(&board))?;
    let (stopper, shutdown) = stopping();
    let access = AccessOutput::start(io::stdout())?;
    let key_log = key_log.map(open_key_log).transpose()?;
    let (mut signals, mut process) = runtime.block_on(async {
        // Registered before anyone is told that we are ready: from then on SIGTERM must not kill.
        let signals = Signals::new()?;
        let process = start((base, read, written), (&mut inherited, &manager, origin), key_log, &access, &shutdown).await?;
        Ok::<_, StartError>((signals, process))
    })?;
    let (asking, asked) = mpsc::unbounded_channel();
    // Whoever reads the next line may ask.
    board.wishes_go_to(asking.clone());
    let control = runtime.block_on(async { open_control(&process, asking) });
    tracing::info!("ready in {} ms", begun.elapsed().as_millis());
    manager.ready(&process.serving.words());
    handover::serves();
    let successor = runtime.block_on(serve(&mut signals, &mut process, asked));
    // Whoever reads the next line must find it so.
    board.draining();
    tracing::info!("stopping: running requests are finished, a second signal ends them");
    // As long as it is not another's, so that the end can be watched too.
    let watching = if successor.is_some() {
        control.into_iter().for_each(Control::leave);
        watching.into_iter().for_each(Watching::hand_over);
        stopper.hand_over();
        None
    } else {
        drop(control);
        manager.stopping();
        stopper.drain();
        watching
    };
    std::thread::spawn(move || {
        runtime.block_on(signals.stop());
        std::process::exit(1);
    });
    let Process { foremen, keepers, serving, .. } = process;
    join(foremen.into_iter().map(|foreman| foreman.thread).collect())?;
    drop(keepers);
    // Until nobody waits there any more.
    match successor {
        // Its are the files of Unix sockets now.
        Some(_) => std::mem::forget(serving),
        None => drop(serving),
    }
    board.exporters.finish();
    drop(watching);
    tracing::info!("stopped");
    Ok(())
}

/// What comes from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// As nginx has it: let a new process take over.
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let signal = |kind| signal(kind);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Until it is time to stop.
    async fn stop(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
    }
}

/// Does what is asked until it is time to stop. What is being made then is given up; workers have heard nothing of it, or all of it. `Some`: a process of
/// that number has taken over.
async fn serve(signals: &mut Signals, process: &mut Process, mut asked: mpsc::UnboundedReceiver<Asked>) -> Option<u32> {
    if let Some(period) = process.manager.watchdog() {
        let pulses = process.foremen.iter().map(Foreman::pulse).collect();
        tokio::spawn(keep_alive(process.manager.clone(), pulses, period));
    }
    let mut looks = interval(Lookout::PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Signals { terminate, interrupt, hangup, user2 } = signals;
    let by_itself = |question| Asked { question, answer: None };
    let answering = async {
        loop {
            // All are cancel-safe.
            let first = tokio::select! {
                Some(first) = asked.recv() => first,
                Some(()) = hangup.recv() => by_itself(Question::Reload),
                Some(()) = user2.recv() => by_itself(Question::Upgrade),
                _ = looks.tick() => {
                    if !(process.serving.prepared.config.server.watch && process.lookout.look()) {
                        continue;
                    }
                    tracing::info!("reload: files of the configuration have changed");
                    by_itself(Question::Reload)
                }
            };
            let mut all = vec![first];
            while let Ok(another) = asked.try_recv() {
                all.push(another);
            }
            if let Some(successor) = process.answer(all).await {
                return successor;
            }
        }
    };
    tokio::select! {
        successor = answering => Some(successor),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    }
}

/// Tells the service manager that we are alive, as long as every worker gets to its tasks.
async fn keep_alive(manager: Arc<Manager>, pulses: Vec<Pulse>, period: Duration) {
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        for pulse in &pulses {
            // Workers that are leaving answer nobody; the manager has a time of its own for that.
            if !manager.is_stopping() && pulse.beat().await.is_err() {
                return;
            }
        }
        manager.alive();
    }
}

fn open_control(process: &Process, asking: mpsc::UnboundedSender<Asked>) -> Option<Control> {
    match Control::open(&process.base.state, &process.base.path) {
        Ok((control, socket)) => {
            tokio::spawn(control::listen(socket, asking));
            Some(control)
        }
        Err(error) => {
            tracing::warn!("`portcullis reload` will not find this process, SIGHUP will: {error}");
            None
        }
    }
}

fn watched(written: &Written, board: &Arc<Watch>, inherited: &mut Inherited) -> Result<Option<Watching>, StartError> {
    watch(written.config.admin.as_ref(), board, inherited).map_err(|error| match error {
        WatchError::System(error) => StartError::System(error),
        WatchError::Bind(problems) => {
            let mut report = written.report.clone();
            report.add(problems);
            StartError::Assemble(AssembleError::Bind(report))
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

/// Says what listens where, and what is doubtful.
fn announce(path: &Path, generation: &Generation) {
    let prepared = &generation.prepared;
    if prepared.report.warnings() > 0 {
        eprint!("{}", prepared.report.text());
    }
    let routes: usize = prepared.config.sites.iter().map(|site| site.routes.len()).sum();
    tracing::info!(
        "portcullis {} generation {} of {}: {} sites, {routes} routes, {} upstreams, {} filters",
        env!("CARGO_PKG_VERSION"),
        generation.number,
        path.display(),
        prepared.config.sites.len(),
        prepared.config.upstreams.len(),
        prepared.filters.all().len(),
    );
    for listener in &generation.listeners {
        listener.words().for_each(|word| tracing::info!("listening {word} {}", listener.address));
    }
}

/// The first generation.
async fn start(
    (base, read, written): (Base, Recorded, Written),
    (inherited, manager, origin): (&mut Inherited, &Arc<Manager>, Origin),
    key_log: Option<Arc<dyn KeyLog>>,
    access: &AccessOutput,
    shutdown: &Shutdown,
) -> Result<Process, StartError> {
    let base = Arc::new(base);
    let prepared = base.prepare(written, None)?;
    let workers = prepared.config.server.workers.or(std::thread::available_parallelism().ok()).map_or(1, usize::from);
    let (generation, changes) = Generation::assemble(&base.watch, prepared, (None, inherited), workers, key_log.as_ref())?;
    announce(&base.path, &generation);
    let gate = Gate::new(&generation.snapshot.limits);
    base.watch.serving(&gate, access);
    let tally = || generation.prepared.config.counts().then(|| base.watch.registry.worker());
    let count = u16::try_from(workers).unwrap_or(u16::MAX);
    let mut foremen = Vec::new();
    for (number, change) in (0..).zip(changes) {
        let (access, tunnel_access) = (access.writer(), access.writer());
        let foreman =
            Foreman::start(Means { number, workers: count, gate: gate.clone(), access, tunnel_access, tally: tally() }, shutdown.clone())?;
        foreman.prepare(change).await?;
        foremen.push(foreman);
    }
    for foreman in &foremen {
        foreman.turn().await.map_err(io::Error::other)?;
    }
    base.watch.generations.turn(&generation);
    base.watch.looks_at(generation.discovery());
    let generation = Arc::new(generation);
    base.watch.show(&generation);
    let mut keepers = Keepers::default();
    // After the workers: what CAs look for must be shown by then.
    keepers.turn(&generation.prepared.papers, None)?;
    Ok(Process {
        base,
        serving: generation,
        foremen,
        gate,
        keepers,
        lookout: Lookout::new(read),
        key_log,
        manager: Arc::clone(manager),
        origin,
    })
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
