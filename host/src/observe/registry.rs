//! All numbers of the process, and how they are shown. Who counts has a part of it; who collects reads them all.

use super::exposition::Exposition;
use super::metrics::PluginMetrics;
use super::numbers::{Counter, Histogram, OF_CONNECTS, OF_EXCHANGES, Times};
use super::tally::{ExportTallies, ExportTally, RouteTally, UpstreamTally, WorkerTally};
use super::{Refusal, process};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// For as long as the process lives; generations come and go.
pub struct Registry {
    started: SystemTime,
    /// A lock, because it is taken when workers start and when numbers are read.
    workers: Mutex<Vec<Arc<WorkerTally>>>,
    /// What plugins count themselves.
    pub plugins: PluginMetrics,
    /// What became of what a collector should get.
    pub exports: ExportTallies,
}

/// What came of the requests that a route took.
#[derive(Debug)]
pub struct RouteSum {
    /// By the status' first digit; first those without an answer.
    pub statuses: [u64; 6],
    pub times: Times,
}

/// What an upstream was asked.
#[derive(Debug, Default, Clone, Copy)]
pub struct UpstreamSum {
    pub requests: u64,
    /// Those that are not over.
    pub active: u64,
    /// Connections kept for the next request.
    pub idle: u64,
    /// Servers tried beyond each request's first.
    pub retries: u64,
    /// Requests without a response head, and tunnels without a server.
    pub failures: u64,
}

/// A family of numbers that `T` has: its name, what it means, and where it is.
pub type Shown<T> = (&'static str, &'static str, fn(&T) -> u64);

impl Default for Registry {
    fn default() -> Self {
        Self { started: SystemTime::now(), workers: Mutex::default(), plugins: PluginMetrics::default(), exports: ExportTallies::default() }
    }
}

impl Registry {
    /// One more worker's.
    pub fn worker(&self) -> Arc<WorkerTally> {
        let tally = Arc::<WorkerTally>::default();
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    fn all(&self) -> Vec<Arc<WorkerTally>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What came of requests, by site and route. Empty if nobody collects numbers.
    pub fn routes(&self) -> BTreeMap<(Box<str>, Box<str>), RouteSum> {
        let sum = |tallies: &[Arc<RouteTally>]| {
            let statuses = std::array::from_fn(|class| total(tallies, |tally| tally.statuses.get(class).map_or(0, Counter::value)));
            RouteSum { statuses, times: times(tallies, OF_EXCHANGES, |tally: &RouteTally| &tally.took) }
        };
        gathered(&self.all(), |worker| &worker.routes).into_iter().map(|(name, tallies)| (name, sum(&tallies))).collect()
    }

    /// What upstreams were asked.
    pub fn upstreams(&self) -> BTreeMap<Box<str>, UpstreamSum> {
        let sum = |tallies: &[Arc<UpstreamTally>]| UpstreamSum {
            requests: total(tallies, |tally| tally.requests.value()),
            active: total(tallies, |tally| tally.running.value()),
            idle: total(tallies, |tally| tally.idle.value()),
            retries: total(tallies, |tally| tally.retries.value()),
            failures: tallies.iter().flat_map(|tally| tally.failures.all()).map(|(_, count)| count.value()).sum(),
        };
        gathered(&self.all(), |worker| &worker.upstreams).into_iter().map(|(name, tallies)| (name, sum(&tallies))).collect()
    }

    /// What runs on each server of an upstream that has any, by address.
    pub fn servers(&self, upstream: &str) -> BTreeMap<Box<str>, u64> {
        let all = gathered(&self.all(), |worker| &worker.upstreams);
        all.get(upstream).map(|tallies| active(tallies)).unwrap_or_default()
    }

    /// Why exchanges and tunnels ended otherwise than they should, by what it was and the reason's token.
    pub fn reasons(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        gathered(&self.all(), |worker| &worker.reasons).into_iter().map(|(name, counts)| (name, total(&counts, Counter::value))).collect()
    }

    /// The latest exchanges that did not end as they should, latest first.
    pub fn recent(&self) -> Vec<Refusal> {
        let mut all: Vec<_> = self.all().iter().flat_map(|worker| worker.recent.all()).collect();
        all.sort_by_key(|refusal| std::cmp::Reverse(refusal.at));
        all
    }

    /// Exchanges that are not over.
    pub fn active(&self) -> u64 {
        self.all().iter().map(|worker| worker.exchanges.value()).sum()
    }

    /// When the process started.
    pub const fn started(&self) -> SystemTime {
        self.started
    }

    /// Since the process started.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed().unwrap_or_default()
    }

    /// Everything that is counted in this room.
    pub fn write(&self, out: &mut Exposition) {
        out.gauge("portcullis_build_info", "Which build runs.").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        let workers = self.all();
        let sum = |of: fn(&WorkerTally) -> u64| workers.iter().map(|worker| of(worker)).sum::<u64>();
        out.gauge("portcullis_workers", "Worker threads.").sample(&[], workers.len() as u64);
        out.gauge("portcullis_exchanges_active", "Requests that are not over, upgraded connections included.")
            .sample(&[], sum(|worker| worker.exchanges.value()));
        out.gauge("portcullis_tunnels_active", "Connections of TCP listeners that are carried now.")
            .sample(&[], sum(|worker| worker.tunnels.value()));
        let mut carried = out.counter("portcullis_tunnel_bytes", "Bytes that connections of TCP listeners carried, counted when they end.");
        carried.sample(&[("direction", "received")], sum(|worker| worker.carried[0].value()));
        carried.sample(&[("direction", "sent")], sum(|worker| worker.carried[1].value()));
        connections(out, &sum);
        routes(out, &workers);
        reasons(out, &workers);
        injected(out, &workers);
        mirrored(out, &workers);
        upstreams(out, &workers);
        let ExportTallies { spans, points, logs } = &self.exports;
        exports(out, ("portcullis_spans_sent", "portcullis_spans_dropped", "Spans"), spans);
        exports(out, ("portcullis_metric_points_sent", "portcullis_metric_points_dropped", "Numbers, each time they are told,"), points);
        exports(out, ("portcullis_log_records_sent", "portcullis_log_records_dropped", "Lines of logs"), logs);
        self.plugins.write(out);
        process::write(out, self.started);
    }
}

fn exports(out: &mut Exposition, (sent, dropped, what): (&'static str, &'static str, &str), tally: &ExportTally) {
    out.counter(sent, &format!("{what} that the collector took.")).sample(&[], tally.sent());
    out.counter(dropped, &format!("{what} dropped because too many waited, or the collector did not take them."))
        .sample(&[], tally.dropped());
}

fn connections(out: &mut Exposition, sum: &dyn Fn(fn(&WorkerTally) -> u64) -> u64) {
    out.counter("portcullis_connections_accepted", "Connections that listeners let in.")
        .sample(&[], sum(|worker| worker.connections.accepted.value()));
    out.counter("portcullis_connections_refused", "Connections closed at once because there were too many.")
        .sample(&[], sum(|worker| worker.connections.refused.value()));
    let mut handshakes = out.counter("portcullis_tls_handshakes", "TLS handshakes with clients.");
    let mut of = |version, result, count| handshakes.sample(&[("version", version), ("result", result)], count);
    of("1.2", "full", sum(|worker| worker.connections.handshakes.full[0].value()));
    of("1.2", "resumed", sum(|worker| worker.connections.handshakes.resumed[0].value()));
    of("1.3", "full", sum(|worker| worker.connections.handshakes.full[1].value()));
    of("1.3", "resumed", sum(|worker| worker.connections.handshakes.resumed[1].value()));
    of("", "failed", sum(|worker| worker.connections.handshakes.failed.value()));
}

/// Of all workers, by name.
fn gathered<K: Ord + Clone, T>(
    workers: &[Arc<WorkerTally>],
    part: impl Fn(&WorkerTally) -> &super::tally::Named<K, T>,
) -> BTreeMap<K, Vec<Arc<T>>> {
    let mut all = BTreeMap::<K, Vec<Arc<T>>>::new();
    for (name, tally) in workers.iter().flat_map(|worker| part(worker).all()) {
        all.entry(name).or_default().push(tally);
    }
    all
}

fn times<T>(tallies: &[Arc<T>], bounds: super::numbers::Bounds, of: impl Fn(&T) -> &Histogram) -> Times {
    let mut times = Times::none(bounds);
    tallies.iter().for_each(|tally| times.take(of(tally)));
    times
}

fn total<T>(tallies: &[Arc<T>], of: impl Fn(&T) -> u64) -> u64 {
    tallies.iter().map(|tally| of(tally)).sum()
}

fn routes(out: &mut Exposition, workers: &[Arc<WorkerTally>]) {
    const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    let routes = gathered(workers, |worker| &worker.routes);
    let mut family =
        out.counter("portcullis_requests", "Requests that are over, by route and first digit of the status; none: no answer was given.");
    for ((site, route), tallies) in &routes {
        for (class, name) in CLASSES.iter().enumerate() {
            let count = total(tallies, |tally| tally.statuses.get(class).map_or(0, Counter::value));
            if count > 0 {
                family.sample(&[("site", site), ("route", route), ("status", name)], count);
            }
        }
    }
    let mut family = out.histogram("portcullis_request_duration_seconds", "From a request's head to the end of its response.");
    for ((site, route), tallies) in &routes {
        family.times(&[("site", site), ("route", route)], &times(tallies, OF_EXCHANGES, |tally: &RouteTally| &tally.took));
    }
    let of: [Shown<RouteTally>; 2] = [
        ("portcullis_request_body_bytes", "Bytes of bodies from clients.", |tally| tally.received.value()),
        ("portcullis_response_body_bytes", "Bytes of bodies to clients.", |tally| tally.sent.value()),
    ];
    for (name, help, value) in of {
        let mut family = out.counter(name, help);
        for ((site, route), tallies) in &routes {
            family.sample(&[("site", site), ("route", route)], total(tallies, value));
        }
    }
}

fn reasons(out: &mut Exposition, workers: &[Arc<WorkerTally>]) {
    let mut family =
        out.counter("portcullis_reasons", "Why exchanges and tunnels ended otherwise than as the origin and the client wanted.");
    for ((of, reason), counts) in gathered(workers, |worker| &worker.reasons) {
        family.sample(&[("of", of), ("reason", reason)], total(&counts, Counter::value));
    }
}

fn injected(out: &mut Exposition, workers: &[Arc<WorkerTally>]) {
    let mut family = out.counter("portcullis_faults_injected", "Requests that were delayed or refused because their route has `fault`.");
    for ((site, route, kind), counts) in gathered(workers, |worker| &worker.injected) {
        family.sample(&[("site", &site), ("route", &route), ("kind", kind)], total(&counts, Counter::value));
    }
}

fn mirrored(out: &mut Exposition, workers: &[Arc<WorkerTally>]) {
    let mut family = out.counter(
        "portcullis_mirrored",
        "Copies of requests: answered, failed for a reason, or not made (busy, too_large, buffers_full, incomplete).",
    );
    for ((upstream, result), counts) in gathered(workers, |worker| &worker.mirrored) {
        family.sample(&[("upstream", &upstream), ("result", result)], total(&counts, Counter::value));
    }
}

/// What runs on each server, by address.
fn active(tallies: &[Arc<UpstreamTally>]) -> BTreeMap<Box<str>, u64> {
    let mut all = BTreeMap::<_, u64>::new();
    for (server, active) in tallies.iter().flat_map(|tally| tally.servers.all()) {
        *all.entry(server).or_default() += active.value();
    }
    all
}

fn upstreams(out: &mut Exposition, workers: &[Arc<WorkerTally>]) {
    let upstreams = gathered(workers, |worker| &worker.upstreams);
    let counters: [Shown<UpstreamTally>; 6] = [
        ("portcullis_upstream_requests", "Requests to upstreams, of clients and of plugins, and tunnels.", |tally| tally.requests.value()),
        ("portcullis_upstream_reused", "Requests that a pooled connection carried.", |tally| tally.reused.value()),
        ("portcullis_upstream_retries", "Servers tried beyond each request's first.", |tally| tally.retries.value()),
        ("portcullis_upstream_hedges", "Requests that a second server was asked as well.", |tally| tally.hedges.value()),
        ("portcullis_upstream_hedges_won", "Of those, the ones that the second server answered.", |tally| tally.hedges_won.value()),
        ("portcullis_upstream_ejections", "How often servers were set aside after failures, by each worker.", |tally| {
            tally.ejections.value()
        }),
    ];
    for (name, help, value) in counters {
        let mut family = out.counter(name, help);
        upstreams.iter().for_each(|(upstream, tallies)| family.sample(&[("upstream", upstream)], total(tallies, value)));
    }
    let gauges: [Shown<UpstreamTally>; 4] = [
        ("portcullis_upstream_active", "Requests and tunnels that are not over.", |tally| tally.running.value()),
        ("portcullis_upstream_waiting", "Requests that wait until they may run.", |tally| tally.waiting.value()),
        ("portcullis_upstream_connections", "Connections to its servers, idle ones, WebSockets and tunnels included.", |tally| {
            tally.open.value()
        }),
        ("portcullis_upstream_pool_idle", "Connections kept for the next request.", |tally| tally.idle.value()),
    ];
    for (name, help, value) in gauges {
        let mut family = out.gauge(name, help);
        upstreams.iter().for_each(|(upstream, tallies)| family.sample(&[("upstream", upstream)], total(tallies, value)));
    }
    let mut family = out.gauge("portcullis_upstream_server_active", "Requests and tunnels that are not over, of servers that have any.");
    for (upstream, tallies) in &upstreams {
        for (server, active) in active(tallies).iter().filter(|(_, active)| **active > 0) {
            family.sample(&[("upstream", upstream), ("server", server)], *active);
        }
    }
    let mut family =
        out.gauge("portcullis_upstream_limit", "Requests that may run at once where limits.running is adaptive, once some were answered.");
    for (upstream, tallies) in &upstreams {
        let limit = total(tallies, |tally| tally.limit.value());
        if limit > 0 {
            family.sample(&[("upstream", upstream)], limit);
        }
    }
    let mut family = out.histogram("portcullis_upstream_connect_seconds", "For making a connection, TLS included.");
    for (upstream, tallies) in &upstreams {
        family.times(&[("upstream", upstream)], &times(tallies, OF_CONNECTS, |tally: &UpstreamTally| &tally.connects));
    }
    let mut family = out.histogram("portcullis_upstream_answer_seconds", "From a request to its response head.");
    for (upstream, tallies) in &upstreams {
        family.times(&[("upstream", upstream)], &times(tallies, OF_EXCHANGES, |tally: &UpstreamTally| &tally.answers));
    }
    let mut family = out.counter("portcullis_upstream_failures", "Requests without a response head, and tunnels without a server.");
    for (upstream, tallies) in &upstreams {
        let mut reasons = BTreeMap::<_, u64>::new();
        for (reason, count) in tallies.iter().flat_map(|tally| tally.failures.all()) {
            *reasons.entry(reason).or_default() += count.value();
        }
        reasons.iter().for_each(|(reason, count)| family.sample(&[("upstream", upstream), ("reason", reason)], *count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Format;
    use crate::observe::tally::Over;

    #[test]
    fn workers_are_added_up() {
        let registry = Registry::default();
        for status in [Some(200), Some(503), None] {
            let worker = registry.worker();
            let over = Over { status, total: Duration::from_millis(3), received: 2, sent: 10 };
            worker.route("a.test", "/*").take(over);
            worker.because("exchange", "overload");
        }
        let mut out = Exposition::new(Format::Prometheus);
        registry.write(&mut out);
        let text = out.finish();
        for line in [
            "portcullis_workers 3",
            "portcullis_requests_total{site=\"a.test\",route=\"/*\",status=\"none\"} 1",
            "portcullis_requests_total{site=\"a.test\",route=\"/*\",status=\"5xx\"} 1",
            "portcullis_request_duration_seconds_count{site=\"a.test\",route=\"/*\"} 3",
            "portcullis_response_body_bytes_total{site=\"a.test\",route=\"/*\"} 30",
            "portcullis_reasons_total{of=\"exchange\",reason=\"overload\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
