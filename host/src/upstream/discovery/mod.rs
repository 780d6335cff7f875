//! Servers that are found by name: what is written is looked up again and again, once for all workers, and each address that comes of it is a
//! server of its own. What was found last stays until something else is found: a look-up that fails takes no server away.
//!
//! In reading order: `query` (what is looked up, and what an answer makes of an upstream), `pace` (when), `resolver` (whom we ask), `sets`
//! (the servers of all upstreams as they are now).

mod pace;
mod query;
mod resolver;
mod sets;

pub use query::{Found, Query};
pub use sets::Sets;

use super::health::Doctors;
use crate::certs::Outbound;
use crate::config::{Limits, ServerAddress, UpstreamName, UpstreamSpec};
use resolver::{Answer, Resolver};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What is known of the servers of one generation's upstreams.
pub struct Discovery {
    written: Arc<BTreeMap<UpstreamName, UpstreamSpec>>,
    outbound: Arc<Outbound>,
    /// A lock, because look-ups are few; no request takes it.
    known: Mutex<BTreeMap<Query, LookUp>>,
    sets: watch::Sender<Arc<Sets>>,
}

/// What looking for something has come to.
#[derive(Debug, Clone, Default)]
pub struct LookUp {
    /// As it was found last; empty: never yet.
    pub found: Vec<Found>,
    /// When that was.
    pub good: Option<Instant>,
    /// When it is looked for again.
    pub next: Option<Instant>,
    /// How often, and how often in vain.
    pub lookups: u64,
    pub failed: u64,
    /// In a row, up to now.
    pub failures: u32,
    /// Why, the last time.
    pub why: Option<String>,
}

/// A look-up that is over.
struct News {
    query: Query,
    answer: Result<Vec<Found>, String>,
    next: Instant,
}

impl Discovery {
    /// Of these upstreams, as they are written. What `before` knows goes over.
    pub fn succeed(before: Option<&Self>, written: &Arc<BTreeMap<UpstreamName, UpstreamSpec>>, outbound: &Arc<Outbound>) -> Self {
        let earlier = before.map(|before| before.known().clone()).unwrap_or_default();
        let queries = written.values().flat_map(|spec| &spec.servers).filter_map(|server| Query::of(&server.address));
        let known = queries.map(|query| (query.clone(), earlier.get(&query).cloned().unwrap_or_default())).collect();
        let sets = before.map(Self::now).unwrap_or_default().succeed(written, &known, outbound);
        Self {
            written: Arc::clone(written),
            outbound: Arc::clone(outbound),
            known: Mutex::new(known),
            sets: watch::Sender::new(Arc::new(sets)),
        }
    }

    /// Whether anything has to be looked up or looked at.
    pub fn has_work(&self) -> bool {
        !self.known().is_empty() || !self.now().board.is_empty()
    }

    /// The servers as they are now.
    pub fn now(&self) -> Arc<Sets> {
        Arc::clone(&self.sets.borrow())
    }

    /// The same, and how they change.
    pub fn follow(&self) -> watch::Receiver<Arc<Sets>> {
        self.sets.subscribe()
    }

    /// All that is looked up.
    pub fn look_ups(&self) -> BTreeMap<Query, LookUp> {
        self.known().clone()
    }

    /// What is looked up for one upstream, in the order in which it is written.
    pub fn of(&self, spec: &UpstreamSpec) -> Vec<(Query, LookUp)> {
        let known = self.known();
        let queries = spec.servers.iter().filter_map(|server| Query::of(&server.address));
        queries.map(|query| (query.clone(), known.get(&query).cloned().unwrap_or_default())).collect()
    }

    /// Looks up names and looks at servers for as long as it is polled, within a runtime that takes local tasks. `nameservers`: none for those of
    /// the system. `asked` is called once, when everything has been looked up once.
    pub async fn run(&self, nameservers: &[SocketAddr], limits: &Limits, asked: impl FnOnce()) {
        let (told, mut news) = unbounded_channel();
        let resolver = Rc::new(Resolver::new(nameservers.to_vec()));
        let mut looking = JoinSet::new();
        let mut unasked = BTreeSet::new();
        for (query, known) in self.look_ups() {
            if known.lookups == 0 {
                unasked.insert(query.clone());
            }
            looking.spawn_local(look_up(query, known, Rc::clone(&resolver), told.clone()));
        }
        let mut doctors = Doctors::new(&self.written, limits);
        doctors.turn(&self.now().board);
        let mut asked = Some(asked);
        loop {
            if unasked.is_empty()
                && let Some(asked) = asked.take()
            {
                asked();
            }
            // Never over: we hold a sender.
            let Some(first) = news.recv().await else { return };
            let mut changed = false;
            let mut next = Some(first);
            while let Some(one) = next {
                unasked.remove(&one.query);
                changed |= self.take(one);
                next = news.try_recv().ok();
            }
            if changed {
                self.change();
                doctors.turn(&self.now().board);
            }
        }
    }

    /// Whether something else was found than before.
    fn take(&self, News { query, answer, next }: News) -> bool {
        let mut all = self.known();
        let Some(known) = all.get_mut(&query) else { return false };
        known.lookups += 1;
        known.next = Some(next);
        match answer {
            Ok(found) => {
                if known.failures > 0 {
                    tracing::info!("{query} is found again, after {} look-ups that failed", known.failures);
                }
                (known.failures, known.why, known.good) = (0, None, Some(Instant::now()));
                let changed = found != known.found;
                known.found = found;
                changed
            }
            Err(why) => {
                known.failed += 1;
                known.failures = known.failures.saturating_add(1);
                if known.failures == 1 {
                    let left = if known.found.is_empty() { "no server is known" } else { "the servers that are known stay" };
                    tracing::warn!("{query} cannot be looked up: {why}; {left}");
                }
                known.why = Some(why);
                false
            }
        }
    }

    /// Makes of what is known now the servers that there are.
    fn change(&self) {
        let before = self.now();
        let now = before.succeed(&self.written, &self.known(), &self.outbound);
        for (name, spec) in now.specs.iter().filter(|(name, spec)| before.specs.get(name) != Some(spec)) {
            tell(name, before.specs.get(name), spec);
        }
        self.sets.send_replace(Arc::new(now));
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Query, LookUp>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says which servers came and which went, if any did.
fn tell(name: &UpstreamName, before: Option<&UpstreamSpec>, now: &UpstreamSpec) {
    let of = |spec: &UpstreamSpec| -> BTreeSet<ServerAddress> { spec.servers.iter().map(|server| server.address.clone()).collect() };
    let (before, now) = (before.map(of).unwrap_or_default(), of(now));
    let listed = |servers: Vec<&ServerAddress>| match &*servers {
        [] => "none".to_owned(),
        servers => servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    if before != now {
        let (came, went) = (listed(now.difference(&before).collect()), listed(before.difference(&now).collect()));
        tracing::info!("upstream {name}: servers that came: {came}; that went: {went}; there are {}", now.len());
    } else {
        tracing::info!("upstream {name}: weights or priorities of its servers have changed");
    }
}

/// Looks for one thing for as long as it is polled.
async fn look_up(query: Query, mut known: LookUp, resolver: Rc<Resolver>, told: UnboundedSender<News>) {
    // Where an earlier generation has looked, its pauses go on.
    if let Some(next) = known.next {
        sleep_until(next).await;
    }
    loop {
        let answer = resolver.ask(&query, &known.found).await;
        let (pause, answer) = match answer {
            Ok(Answer { found, ttl }) => {
                known.failures = 0;
                known.found.clone_from(&found);
                (pace::after_answer(ttl), Ok(found))
            }
            Err(why) => {
                known.failures = known.failures.saturating_add(1);
                (pace::after_failure(known.failures, pace::random(&query, known.failures)), Err(why))
            }
        };
        let next = Instant::now() + pause;
        // Whoever has gone does not want to know.
        let _ = told.send(News { query: query.clone(), answer, next });
        sleep_until(next).await;
    }
}

/// Looks everything up once, for whoever wants to see it: the upstreams with the servers that were found, and why some were not.
pub async fn found_once(
    written: &BTreeMap<UpstreamName, UpstreamSpec>,
    nameservers: &[SocketAddr],
) -> (BTreeMap<UpstreamName, UpstreamSpec>, BTreeMap<Query, String>) {
    let resolver = Resolver::new(nameservers.to_vec());
    let (mut known, mut failed) = (BTreeMap::new(), BTreeMap::new());
    for query in written.values().flat_map(|spec| &spec.servers).filter_map(|server| Query::of(&server.address)) {
        if known.contains_key(&query) || failed.contains_key(&query) {
            continue;
        }
        match resolver.ask(&query, &[]).await {
            Ok(Answer { found, .. }) => drop(known.insert(query, LookUp { found, ..LookUp::default() })),
            Err(why) => drop(failed.insert(query, why)),
        }
    }
    let found = |query: &Query| known.get(query).map(|known| &*known.found).unwrap_or_default();
    (written.iter().map(|(name, spec)| (name.clone(), query::expand(spec, found))).collect(), failed)
}

/// Since then, in whole seconds.
pub fn seconds_since(then: Instant) -> u64 {
    Instant::now().saturating_duration_since(then).as_secs()
}

/// Until then, in whole seconds.
pub fn seconds_until(then: Instant) -> u64 {
    then.saturating_duration_since(Instant::now()).max(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests;
