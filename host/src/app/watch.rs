//! What there is to see of the process, for the admin listener: each room's numbers, and whether requests should come.

use super::control::{Asked, Question};
use super::generation::{Generation, Generations};
use super::inherited::{Giver, Inherited};
use super::listeners::{SocketFile, refused};
use super::pages;
use crate::admin::{Access, Admin, Board, Done, Explain, Later, Readiness, Refusal, Socket, Topic, Wish, start};
use crate::config::{AdminSpec, Diagnostic, ListenAddress};
use crate::listen::{self, Gate, Listening};
use crate::observe::access::{AccessOutput, AccessTap};
use crate::observe::otlp::{Exporters, Numbers};
use crate::observe::{Exposition, Registry, Shown, log_also_to, log_filter, set_log_filter};
use crate::sandbox::{Census, Counts};
use crate::upstream::{Discovery, Drains, Query, Seats, Sets, seconds_since};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use tokio::sync::mpsc::{self, UnboundedSender};

/// For as long as the process lives; generations tell it what they have.
#[derive(Default)]
pub struct Watch {
    pub registry: Registry,
    pub generations: Generations,
    pub exporters: Exporters,
    /// Servers that an operator has taken out.
    pub drains: Arc<Drains>,
    /// How many connections servers have.
    pub seats: Arc<Seats>,
    /// What is served. A lock, because it is taken by reloads and by whoever looks; weak, because who looks must not hold it.
    shown: Mutex<Weak<Generation>>,
    /// Where wishes go.
    wishes: OnceLock<UnboundedSender<Asked>>,
    /// How far the process is.
    standing: AtomicU8,
    /// By plugin. A lock, because it is taken when plugins are configured and when numbers are read.
    censuses: Mutex<BTreeMap<String, Arc<Census>>>,
    gate: OnceLock<Arc<Gate>>,
    /// Of the generation that is served. A lock, because it is taken by reloads and when numbers are read.
    discovery: Mutex<Option<Arc<Discovery>>>,
    /// Access lines that were dropped.
    dropped: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
    /// Says where access lines go besides.
    tap: OnceLock<AccessTap>,
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

/// The listener, and the files of its sockets.
pub struct Watching {
    admin: Admin,
    files: Vec<SocketFile>,
}

impl Watching {
    /// Another process listens there now: what is asked is left to it, and so are the files.
    pub fn hand_over(self) {
        drop(self.admin);
        std::mem::forget(self.files);
    }
}

impl Watch {
    /// The numbers of the plugin of this name, which go on over reloads.
    pub fn census(&self, plugin: &str) -> Arc<Census> {
        let mut censuses = self.censuses.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(censuses.entry(plugin.to_owned()).or_default())
    }

    /// Workers are about to run.
    pub fn serving(&self, gate: &Arc<Gate>, access: &AccessOutput) {
        // Both are made once for the process.
        let _ = self.gate.set(Arc::clone(gate));
        let _ = self.dropped.set(Box::new(access.counter()));
        let _ = self.tap.set(access.tap());
        self.standing.store(SERVING, Ordering::Release);
    }

    /// From now on this is served.
    pub fn show(&self, generation: &Arc<Generation>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(generation);
        self.tells_logs_of(generation);
    }

    /// From now on lines of both logs go where this generation wants them besides.
    fn tells_logs_of(&self, generation: &Generation) {
        let logs = generation.logs();
        self.tap.get().iter().for_each(|tap| tap.to(logs.clone()));
        log_also_to(logs);
    }

    /// All numbers, for who is told them now and then.
    pub fn numbers(self: &Arc<Self>) -> Numbers {
        let watch = Arc::downgrade(self);
        let told = move || {
            let mut out = Exposition::telling();
            if let Some(watch) = watch.upgrade() {
                watch.metrics(&mut out);
            }
            out.told()
        };
        Numbers { told: Arc::new(told), since: self.registry.started() }
    }

    fn served(&self) -> Option<Arc<Generation>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Whoever does what is asked for listens here.
    pub fn wishes_go_to(&self, asking: UnboundedSender<Asked>) {
        // Made once for the process.
        let _ = self.wishes.set(asking);
    }

    /// The numbers of each plugin's guests.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        let censuses = self.censuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        censuses.into_iter().map(|(name, census)| (name, census.counts())).collect()
    }

    pub fn is_draining(&self) -> bool {
        self.standing.load(Ordering::Acquire) == DRAINING
    }

    /// Connections of clients that are open.
    pub fn connections(&self) -> usize {
        self.gate.get().map_or(0, |gate| gate.open())
    }

    /// From now on this is how servers are found and looked at.
    pub fn looks_at(&self, discovery: &Arc<Discovery>) {
        *self.discovery.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(discovery));
    }

    fn discovery(&self) -> Option<Arc<Discovery>> {
        self.discovery.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The servers that there are.
    fn sets(&self) -> Arc<Sets> {
        self.discovery().map(|discovery| discovery.now()).unwrap_or_default()
    }

    pub fn draining(&self) {
        self.standing.store(DRAINING, Ordering::Release);
    }

    /// Plugins without which exchanges must not go on, and which are not entered now.
    fn left_out(&self) -> Vec<String> {
        let censuses = self.censuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = censuses.iter().filter(|(_, census)| census.counts().closed > 0);
        closed.map(|(plugin, _)| format!("plugin {plugin} is left out after too many faults")).collect()
    }

    fn servers(&self, out: &mut Exposition) {
        let sets = self.sets();
        let mut family = out.gauge("portcullis_upstream_servers", "Servers that an upstream has, as they are written or found by name.");
        sets.specs.iter().for_each(|(name, spec)| family.sample(&[("upstream", &*name.0)], spec.servers.len() as u64));
        // A server that is written twice is looked at once.
        let all: BTreeMap<_, _> = sets.board.servers().map(|(upstream, server, up)| ((upstream, server.to_string()), up)).collect();
        let mut family = out.gauge("portcullis_upstream_server_up", "Whether a server is up, by what checks have found.");
        for ((upstream, server), up) in all {
            family.sample(&[("upstream", upstream), ("server", &server)], up.into());
        }
    }

    fn drained(&self, out: &mut Exposition) {
        let Some(served) = self.served() else { return };
        let mut family = out.gauge("portcullis_upstream_server_drained", "1: an operator has taken the server out.");
        for upstream in served.prepared.config.upstreams.keys() {
            for server in self.drains.list(&upstream.0) {
                family.sample(&[("upstream", &upstream.0), ("server", &server)], 1);
            }
        }
    }

    fn look_ups(&self, out: &mut Exposition) {
        let look_ups = self.discovery().map(|discovery| discovery.look_ups()).unwrap_or_default();
        let named = |query: &Query| query.to_string();
        let mut family = out.counter("portcullis_dns_lookups", "Look-ups of names of servers.");
        look_ups.iter().for_each(|(query, known)| family.sample(&[("name", &named(query))], known.lookups));
        let mut family = out.counter("portcullis_dns_lookups_failed", "Look-ups of names of servers that brought nothing.");
        look_ups.iter().for_each(|(query, known)| family.sample(&[("name", &named(query))], known.failed));
        let mut family = out.gauge("portcullis_dns_answer_age_seconds", "Since a look-up of the name has last brought something.");
        for (query, good) in look_ups.iter().filter_map(|(query, known)| Some((query, known.good?))) {
            family.sample(&[("name", &named(query))], seconds_since(good));
        }
    }

    fn guests(&self, out: &mut Exposition) {
        let counts = self.counts();
        let plugins: Vec<(&str, Counts)> = counts.iter().map(|(name, counts)| (&**name, *counts)).collect();
        let counters: [Shown<Counts>; 4] = [
            ("portcullis_guest_calls", "Calls of plugins, all phases.", |counts| counts.calls),
            ("portcullis_guests_made", "Guests made, first ones included.", |counts| counts.guests),
            ("portcullis_remembered_hits", "Calls of plugins that were answered with a decision that was remembered.", |counts| {
                counts.hits
            }),
            ("portcullis_remembered_misses", "Calls that would have been, if it had been there.", |counts| counts.misses),
        ];
        for (name, help, value) in counters {
            let mut family = out.counter(name, help);
            plugins.iter().for_each(|(plugin, counts)| family.sample(&[("plugin", plugin)], value(counts)));
        }
        let mut family = out.counter("portcullis_guest_faults", "Calls in which a guest broke its contract, or none was to be had.");
        for (plugin, counts) in &plugins {
            let Counts { trap, timeout, memory, bad_output, overload, .. } = *counts;
            for (cause, count) in
                [("trap", trap), ("timeout", timeout), ("memory", memory), ("bad_output", bad_output), ("overload", overload)]
            {
                family.sample(&[("plugin", plugin), ("cause", cause)], count);
            }
        }
        let mut family =
            out.counter("portcullis_guest_cpu_seconds", "CPU time of calls, from a sample of them; without those that may wait.");
        plugins.iter().for_each(|(plugin, counts)| family.float(&[("plugin", plugin)], counts.cpu as f64 / 1e9));
        let mut family = out.counter("portcullis_breaker_opened", "How often links were left out after too many faults.");
        plugins.iter().for_each(|(plugin, counts)| family.sample(&[("plugin", plugin)], counts.opened));
        let gauges: [Shown<Counts>; 5] = [
            ("portcullis_breakers_open", "Links that are left out now, on each worker.", |counts| counts.open),
            ("portcullis_guests", "Guests that are there.", |counts| counts.alive),
            ("portcullis_guest_memory_bytes", "Linear memory of the guests that are there.", |counts| counts.bytes),
            ("portcullis_remembered_decisions", "Decisions that are remembered.", |counts| counts.entries),
            ("portcullis_remembered_bytes", "Memory that they take, about.", |counts| counts.entry_bytes),
        ];
        for (name, help, value) in gauges {
            let mut family = out.gauge(name, help);
            plugins.iter().for_each(|(plugin, counts)| family.sample(&[("plugin", plugin)], value(counts)));
        }
    }
}

impl Board for Watch {
    fn metrics(&self, out: &mut Exposition) {
        out.gauge("portcullis_connections", "Connections of clients that are open.").sample(&[], self.connections() as u64);
        let dropped = self.dropped.get().map_or(0, |dropped| dropped());
        out.counter("portcullis_access_lines_dropped", "Access lines dropped because the output was too slow.").sample(&[], dropped);
        out.gauge("portcullis_generation", "Number of the configuration that new exchanges see.").sample(&[], self.generations.serving());
        out.gauge("portcullis_generations", "Configurations that something still uses.").sample(&[], self.generations.alive() as u64);
        self.servers(out);
        self.drained(out);
        self.look_ups(out);
        self.guests(out);
        self.registry.write(out);
    }

    fn readiness(&self) -> Readiness {
        let against = match self.standing.load(Ordering::Acquire) {
            STARTING => vec!["starting".to_owned()],
            DRAINING => vec!["draining".to_owned()],
            _ => self.left_out().into_iter().chain(self.sets().board.missing().map(all_down)).collect(),
        };
        Readiness { against }
    }

    fn shown(&self, topic: Topic) -> Option<Value> {
        let served = self.served()?;
        Some(pages::page(topic, self, &served))
    }

    fn explain(&self, question: &Explain) -> Result<Value, Refusal> {
        let served = self.served().ok_or(Refusal::NotNow)?;
        let mut explained = pages::explain(question, &served)?;
        if let Some(name) = explained["upstream"]["name"].as_str() {
            explained["upstream"]["drained"] = self.drains.list(name).into();
        }
        Ok(explained)
    }

    fn log_filter(&self) -> String {
        log_filter()
    }

    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        set_log_filter(filter)
    }

    fn server(&self, upstream: &str, server: &str) -> Result<Value, Refusal> {
        let served = self.served().ok_or(Refusal::NotNow)?;
        pages::server(self, &served, upstream, server).ok_or(Refusal::NoServer)
    }

    fn drain(&self, upstream: &str, server: &str, out: bool) -> Result<Value, Refusal> {
        let before = self.server(upstream, server)?;
        self.drains.set(upstream, server, out);
        if before["drained"] != out {
            tracing::info!("upstream {upstream}: server {server} {}", if out { "is taken out" } else { "gets requests again" });
        }
        self.server(upstream, server)
    }

    fn ask(&self, wish: Wish) -> Later<Result<Done, Refusal>> {
        let question = match wish {
            Wish::Reload => Question::Reload,
            Wish::Diff => Question::Diff,
        };
        let (answer, mut answered) = mpsc::channel(1);
        let asked = Asked { question, answer: Some(answer) };
        let sent = self.wishes.get().is_some_and(|wishes| wishes.send(asked).is_ok());
        Box::pin(async move {
            // Whoever should answer may be ending.
            let said = if sent { answered.recv().await } else { None }.ok_or(Refusal::NotNow)?;
            let shown = serde_json::to_value(&said).unwrap_or_default();
            Ok(Done { well: said.well, said: shown })
        })
    }
}

fn all_down(upstream: &str) -> String {
    format!("all servers of upstream {upstream} are down")
}

/// Binds what `[admin]` says, if it is there and nobody has left it to us, and serves it.
pub fn watch(spec: Option<&AdminSpec>, board: &Arc<Watch>, inherited: &mut Inherited) -> Result<Option<Watching>, WatchError> {
    let Some(spec) = spec else { return Ok(None) };
    let (mut sockets, mut files, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (address, at) in &spec.listen {
        match bind(address, inherited) {
            Ok((socket, file)) => {
                // Who may come to a Unix socket, its permissions say.
                let access = match &spec.token {
                    Some(token) if address.ip().is_some() => Access::token(&token.0),
                    _ => Access::Open,
                };
                sockets.push((socket, access));
                files.extend(file);
            }
            Err(error) => problems.push(refused(address, Some(at), &error)),
        }
    }
    if !problems.is_empty() {
        return Err(WatchError::Bind(problems));
    }
    let board: Arc<dyn Board> = board.clone();
    Ok(Some(Watching { admin: start(sockets, board)?, files }))
}

/// Why nobody can watch.
pub enum WatchError {
    Bind(Vec<Diagnostic>),
    System(io::Error),
}

impl From<io::Error> for WatchError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn bind(address: &ListenAddress, inherited: &mut Inherited) -> io::Result<(Socket, Option<SocketFile>)> {
    let left = inherited.take(address).map(|(mut sockets, giver)| (sockets.pop(), giver == Giver::Predecessor));
    let (left, ours) = left.unwrap_or((None, true));
    let (socket, file) = match (left, address) {
        (Some(Listening::Tcp(socket)), _) => (Socket::Tcp(socket), None),
        (Some(Listening::Unix(socket)), ListenAddress::Unix { path, .. }) => {
            (Socket::Unix(socket), if ours { Some(SocketFile::of(path)?) } else { None })
        }
        (_, ListenAddress::Ip(address)) => (Socket::Tcp(listen::bind(*address, false)?), None),
        (_, ListenAddress::Unix { path, mode }) => (Socket::Unix(listen::bind_unix(path, *mode)?), Some(SocketFile::of(path)?)),
    };
    tracing::info!("listening admin {}", name(&socket));
    Ok((socket, file))
}

/// With the port that the kernel chose.
fn name(socket: &Socket) -> String {
    let name = match socket {
        Socket::Tcp(socket) => socket.try_clone().map(Listening::Tcp),
        Socket::Unix(socket) => socket.try_clone().map(Listening::Unix),
    };
    name.map(|socket| socket.name()).unwrap_or_default()
}
