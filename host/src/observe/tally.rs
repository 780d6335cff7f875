//! What one worker counts. Written by that worker alone, read by whoever collects; names are looked up when a route or an upstream is used
//! for the first time, and from then on it is a pointer.

use super::Recent;
use super::numbers::{Counter, Gauge, Histogram, OF_CONNECTS, OF_EXCHANGES};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One worker's numbers.
#[derive(Default)]
pub struct WorkerTally {
    /// Exchanges that are not over, upgraded connections included.
    pub exchanges: Gauge,
    pub tunnels: Gauge,
    /// Bytes that tunnels carried, from clients and to them.
    pub carried: [Counter; 2],
    pub connections: ConnectionTally,
    /// By site and pattern. Both are the configuration's, so there are only so many.
    pub routes: Named<(Box<str>, Box<str>), RouteTally>,
    pub upstreams: Named<Box<str>, UpstreamTally>,
    /// Why exchanges ended otherwise than they should, and tunnels. Tokens are words of ours.
    pub reasons: Named<(&'static str, &'static str), Counter>,
    /// What went wrong on purpose, by site and pattern.
    pub injected: Named<(Box<str>, Box<str>, &'static str), Counter>,
    /// Copies of requests, by the upstream that should get them and what came of it: `answered`, a reason token, or why none was made.
    pub mirrored: Named<(Box<str>, &'static str), Counter>,
    /// Some exchanges of those.
    pub recent: Recent,
}

/// Parts of a tally by name. A lock, because it is held for a look-up, and only when a worker meets a name for the first time; what hangs on
/// the name is written without.
pub struct Named<K, T>(Mutex<BTreeMap<K, Arc<T>>>);

/// What came of the requests that a route took. Empty names: of those that none took.
#[derive(Debug)]
pub struct RouteTally {
    /// By the status' first digit; first those without an answer.
    pub statuses: [Counter; 6],
    pub took: Histogram,
    /// Bytes of bodies from clients.
    pub received: Counter,
    /// Bytes of bodies to clients.
    pub sent: Counter,
}

/// What an upstream was asked.
#[derive(Debug)]
pub struct UpstreamTally {
    /// Requests, and connections of the TCP corridor.
    pub requests: Counter,
    /// Those that are not over.
    pub running: Gauge,
    /// Those that wait until they may run.
    pub waiting: Gauge,
    /// How many may run at once, where that is not written but found out; else 0.
    pub limit: Gauge,
    /// Requests that a pooled connection carried.
    pub reused: Counter,
    /// Tries beyond each request's first.
    pub retries: Counter,
    /// Requests that a second server was asked as well, and those that it answered.
    pub hedges: Counter,
    pub hedges_won: Counter,
    /// Servers set aside after failures.
    pub ejections: Counter,
    pub connects: Histogram,
    /// To the response head.
    pub answers: Histogram,
    /// Connections to its servers, whatever they carry, and those in the making.
    pub open: Gauge,
    /// Connections in the pools of its servers.
    pub idle: Gauge,
    pub failures: Named<&'static str, Counter>,
    /// What runs on each of its servers, by address.
    pub servers: Named<Box<str>, Gauge>,
}

/// What became of spans, of points of numbers, and of lines of logs that a collector should get.
#[derive(Debug, Default)]
pub struct ExportTallies {
    pub spans: Arc<ExportTally>,
    pub points: Arc<ExportTally>,
    pub logs: Arc<ExportTally>,
}

/// Of one of these. Written where one is dropped and where many are sent, which is rare enough for all to share it.
#[derive(Debug, Default)]
pub struct ExportTally {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl ExportTally {
    pub fn took(&self, count: usize) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn lost(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What came to the listeners.
#[derive(Debug, Default)]
pub struct ConnectionTally {
    pub accepted: Counter,
    pub refused: Counter,
    pub handshakes: Handshakes,
}

/// TLS handshakes with clients.
#[derive(Debug, Default)]
pub struct Handshakes {
    /// TLS 1.2 and 1.3.
    pub full: [Counter; 2],
    pub resumed: [Counter; 2],
    pub failed: Counter,
}

impl<K, T> Default for Named<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, T> std::fmt::Debug for Named<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Named")
    }
}

impl<K: Ord + Clone, T> Named<K, T> {
    pub fn named(&self, name: K, make: impl FnOnce() -> T) -> Arc<T> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert_with(|| Arc::new(make())))
    }

    /// All there are by now.
    pub fn all(&self) -> Vec<(K, Arc<T>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, part)| (name.clone(), Arc::clone(part))).collect()
    }
}

impl WorkerTally {
    pub fn route(&self, site: &str, pattern: &str) -> Arc<RouteTally> {
        self.routes.named((site.into(), pattern.into()), RouteTally::default)
    }

    pub fn upstream(&self, name: &str) -> Arc<UpstreamTally> {
        self.upstreams.named(name.into(), UpstreamTally::default)
    }

    /// A request of this route was made to go wrong.
    pub fn injected(&self, site: &str, pattern: &str, kind: &'static str) {
        self.injected.named((site.into(), pattern.into(), kind), Counter::default).one();
    }

    /// A copy of a request for this upstream is over, or was not made.
    pub fn mirrored(&self, upstream: &str, result: &'static str) {
        self.mirrored.named((upstream.into(), result), Counter::default).one();
    }

    /// An exchange (or tunnel) ended for this reason. Rare enough for a look-up.
    pub fn because(&self, of: &'static str, reason: &'static str) {
        self.reasons.named((of, reason), Counter::default).one();
    }
}

/// An exchange that is over.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    /// `None`: no answer was given.
    pub status: Option<u16>,
    pub total: Duration,
    pub received: u64,
    pub sent: u64,
}

impl RouteTally {
    pub fn take(&self, over: Over) {
        let class = over.status.map_or(0, |status| usize::from(status / 100));
        self.statuses.get(class).iter().for_each(|statuses| statuses.one());
        // How long a connection lives that is no HTTP any more says nothing about how long anybody waited.
        if over.status != Some(101) {
            self.took.observe(over.total);
        }
        self.received.add(over.received);
        self.sent.add(over.sent);
    }
}

impl Default for RouteTally {
    fn default() -> Self {
        Self { statuses: Default::default(), took: Histogram::new(OF_EXCHANGES), received: Counter::default(), sent: Counter::default() }
    }
}

impl Default for UpstreamTally {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            limit: Gauge::default(),
            reused: Counter::default(),
            retries: Counter::default(),
            hedges: Counter::default(),
            hedges_won: Counter::default(),
            ejections: Counter::default(),
            connects: Histogram::new(OF_CONNECTS),
            answers: Histogram::new(OF_EXCHANGES),
            open: Gauge::default(),
            idle: Gauge::default(),
            failures: Named::default(),
            servers: Named::default(),
        }
    }
}
