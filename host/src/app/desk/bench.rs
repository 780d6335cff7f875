//! `plugin bench`: what a plugin costs, per call and to have.

mod bodies;
mod connections;
mod going_out;
mod measure;
mod report;
mod scene;

pub use report::Benched;

use super::outside::{self, Upstreams, World};
use super::subject::{AllowArgument, DeskError, Subject, not_granted};
use super::{log, on_a_worker};
use crate::app::filters::{Loaded, settle};
use crate::app::prepare::sandbox;
use crate::chain::{ConnectionFilter, Fault, Filter, Hold};
use crate::config::cases::{Cases, MadeBody};
use crate::config::{Allow, Isolation, Report};
use crate::message::{Exchange, Reply};
use crate::sandbox::{Configured, ErrandError, Errands, Grant, Guests, Held, Remember, Sandbox};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use measure::{Spread, spread, touched};
use scene::{Scene, scenes};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to measure.
pub struct Bench<'b> {
    pub file: &'b Path,
    pub allow: &'b [AllowArgument],
    pub settings: Option<&'b Path>,
    /// Each case's first exchange is measured instead of the made-up one.
    pub cases: Option<&'b Path>,
    /// For each figure.
    pub time: Duration,
}

/// One figure of the table.
pub(in crate::app::desk) struct Row {
    pub isolation: &'static str,
    pub phase: &'static str,
    pub scene: String,
    /// CPU time of one call, or why there is none.
    pub cost: Result<Spread, String>,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Reused,
    Fresh,
    /// Nobody, once a guest has.
    Remembered,
}

impl Who {
    const fn isolation(self) -> Isolation {
        match self {
            Self::Reused => Isolation::Worker,
            Self::Fresh | Self::Remembered => Isolation::Request,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Reused => "worker",
            Self::Fresh => "request",
            Self::Remembered => "remembered",
        }
    }
}

/// What takes longer to load is not loaded again to see whether it always does.
const LONG: Duration = Duration::from_secs(2);

/// Guests that are looked at for what they touch.
const CROWD: usize = 32;

/// Measures. Takes some times `time` for each scene.
pub fn bench(bench: &Bench<'_>) -> Result<Benched, DeskError> {
    let subject = Subject::read(bench.file)?;
    let cases = bench.cases.map(|path| subject.cases(path)).transpose()?.map(|(cases, _)| cases);
    let allow = cases.as_ref().map_or_else(|| subject.allow(AllowArgument::all(bench.allow), &[], &[]), |cases| cases.allow.clone());
    let limits = cases.as_ref().and_then(|cases| cases.limits).unwrap_or_else(|| subject.limits());
    // What guests log is part of their cost, and of nobody's interest.
    let _kept = log::keep();
    let (cold, warm) = loading(&subject, bench.time)?;
    let (_sandbox, loaded) = subject.load()?;
    let missing = not_granted(&loaded, &allow);
    if !missing.is_empty() {
        return Err(DeskError::NotGranted(missing));
    }
    let scenes = scenes((&subject, &loaded), bench, cases.as_ref())?;
    let terms = Grant { limits, ..subject.terms(&loaded) };
    let desk = Desk { loaded: &loaded, allow: &allow, terms, cases: cases.as_ref(), time: bench.time };
    let mut rows = Vec::new();
    let mut guest = None;
    for scene in &scenes {
        for guests in [Who::Reused, Who::Fresh, Who::Remembered] {
            rows.extend(on_a_worker(desk.scene(scene, guests))??);
        }
        if guest.is_none() {
            guest = on_a_worker(desk.guest(scene))??;
        }
    }
    let compiled = loaded.plugin.compiled_size();
    Ok(Benched { file: subject.file.clone(), size: subject.bytes().len(), compiled, cold, warm, guest, rows })
}

/// A figure that says of how much it is.
fn bodied(row: Row, body: &MadeBody) -> Row {
    let length: usize = body.pieces.iter().map(String::len).sum();
    Row { scene: format!("{}, body of {length} bytes", row.scene), ..row }
}

/// Compiled anew, and taken from a cache of compiled plugins.
fn loading(subject: &Subject, time: Duration) -> Result<(Spread, Spread), DeskError> {
    let load = |sandbox: &Sandbox| {
        let begun = Instant::now();
        let loaded = sandbox.load(subject.bytes(), None);
        let took = begun.elapsed();
        loaded.map(|_| took).map_err(|source| DeskError::Load { file: subject.file.clone(), source })
    };
    let several = |sandbox: &Sandbox| {
        let begun = Instant::now();
        let mut times = vec![load(sandbox)?];
        // An interpreter takes seconds to compile, and once says it all.
        while begun.elapsed() < LONG && (times.len() < 3 || (begun.elapsed() < time && times.len() < 50)) {
            times.push(load(sandbox)?);
        }
        Ok::<_, DeskError>(Spread::of(times))
    };
    let cold = several(&sandbox(None)?)?;
    let place = Place::new().map_err(DeskError::System)?;
    let cached = sandbox(Some(&place.0))?;
    // Fills the cache; equal files are one plugin only while somebody holds it.
    load(&cached)?;
    Ok((cold, several(&cached)?))
}

/// A directory that goes with it.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let place = std::env::temp_dir().join(format!("portcullis-bench-{}-{}", std::process::id(), now.as_nanos()));
        std::fs::DirBuilder::new().mode(0o700).create(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Desk<'d> {
    loaded: &'d Loaded,
    allow: &'d Allow,
    terms: Grant,
    cases: Option<&'d Cases>,
    time: Duration,
}

impl Desk<'_> {
    fn configured(&self, scene: &Scene, who: Who) -> Result<Arc<Configured>, DeskError> {
        let world = World { stores: self.cases.map(|cases| &cases.stores), secrets: self.cases.map(|cases| &cases.secrets), clock: None };
        let rights = outside::rights(self.allow, &world);
        let remember = Remember { wanted: who == Who::Remembered, secret: scene.link.has_secrets() };
        let grant = Grant { isolation: Some(who.isolation()), rights, remember, ..self.terms.clone() };
        let settled = settle(self.loaded, &scene.link, None, None, |_| grant).map(|(configured, _)| configured);
        settled.map_err(|problems| {
            let mut report = Report::default();
            report.add(problems);
            DeskError::Text(report)
        })
    }

    /// Upstreams that answer what the cases say, and 200 to everything else.
    fn errands(&self) -> Errands {
        let answers = self.cases.map(|cases| cases.upstreams.clone()).unwrap_or_default();
        let otherwise = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
        Upstreams::default().open(answers, Ok::<_, ErrandError>(otherwise))
    }

    async fn scene(&self, scene: &Scene, who: Who) -> Result<Vec<Row>, DeskError> {
        let configured = self.configured(scene, who)?;
        if who == Who::Remembered && configured.remembers().is_err() {
            return Ok(Vec::new());
        }
        let guests = configured.on_worker(Some(self.errands()));
        let exchange = scene.exchange();
        let row = |phase, cost| Row { isolation: who.name(), phase, scene: scene.name.clone(), cost };
        let mut rows = Vec::new();
        if let Some(made) = &scene.connection {
            // Decisions about connections are not remembered.
            if who != Who::Remembered && guests.connection_phases().any() {
                let cost = spread(self.time, async |count| connections::lives(&guests, made, count)).await;
                rows.push(row("connection", cost));
            }
            return Ok(rows);
        }
        if let Some(tick) = scene.tick {
            if who != Who::Remembered && guests.ticks_every().is_some() {
                let cost = spread(self.time, async |count| going_out::ticks(&guests, tick, count).await).await;
                rows.push(row("on-tick", cost));
            }
            return Ok(rows);
        }
        if let Some(hold) = guests.hold(&exchange) {
            let phases = hold.phases();
            drop(hold);
            let messages = bodies::Messages::new(guests, exchange, scene);
            if phases.request || phases.request_body {
                let cost = spread(self.time, async |count| messages.requests(count).await).await;
                let name = if phases.request_body { "request+body" } else { "on-request" };
                rows.push(bodied(row(name, cost), &scene.bodies.0));
            }
            if phases.response || phases.response_body {
                let cost = spread(self.time, async |count| messages.responses(count).await).await;
                let name = if phases.response_body { "response+body" } else { "on-response" };
                rows.push(bodied(row(name, cost), &scene.bodies.1));
            }
            return Ok(rows);
        }
        let call = Call { guests: &guests, exchange: &exchange, scene };
        let (request, response) = guests.phases();
        if request {
            let cost = spread(self.time, async |count| call.requests(count).await).await;
            rows.push(row("on-request", cost));
        }
        if response {
            let cost = spread(self.time, async |count| call.responses(count).await).await;
            rows.push(row("on-response", cost));
        }
        if who != Who::Remembered {
            let ways = going_out::Ways::new(&guests, &exchange, scene);
            rows.extend(self.ways(&ways).await.into_iter().map(|(phase, cost)| row(phase, cost)));
        }
        Ok(rows)
    }

    /// On the way to an upstream, and after: never remembered.
    async fn ways(&self, ways: &going_out::Ways<'_>) -> Vec<(&'static str, Result<Spread, String>)> {
        let mut costs = Vec::new();
        if let Some(made) = ways.choice() {
            costs.push(("on-balance", spread(self.time, async |count| ways.choices(made, count)).await));
        }
        if let Some(made) = ways.attempt() {
            costs.push(("on-attempt", spread(self.time, async |count| ways.attempts(made, count)).await));
        }
        if let Some(made) = ways.end() {
            costs.push(("on-done", spread(self.time, async |count| ways.ends(made, count)).await));
        }
        costs
    }

    /// Linear memory of a guest that was called, and how much of it was touched. `None`: it is never called under these settings.
    async fn guest(&self, scene: &Scene) -> Result<Option<(usize, usize)>, DeskError> {
        let configured = self.configured(scene, Who::Reused)?;
        let exchange = scene.exchange();
        let mut crowd = Vec::with_capacity(CROWD);
        let errands = self.errands();
        let before = touched();
        for _ in 0..CROWD {
            let guests = configured.on_worker(Some(errands.clone()));
            if scene.connection.is_some() || scene.tick.is_some() || guests.hold(&exchange).is_some() {
                return Ok(None);
            }
            let call = Call { guests: &guests, exchange: &exchange, scene };
            // A fault has been told as a row.
            let _ = match guests.phases() {
                (true, _) => call.request(&mut None).await,
                (false, true) => call.response(&mut None).await,
                (false, false) => {
                    going_out::Ways::new(&guests, &exchange, scene).once();
                    Ok(())
                }
            };
            crowd.push(guests);
        }
        let grown = touched().saturating_sub(before) / CROWD;
        Ok(crowd.last().and_then(Guests::memory).map(|memory| (memory, grown.min(memory))))
    }
}

/// One call again and again.
struct Call<'c> {
    guests: &'c Guests,
    exchange: &'c Exchange,
    scene: &'c Scene,
}

impl Call<'_> {
    async fn request(&self, held: &mut Option<Held>) -> Result<(), Fault> {
        let Self { guests, exchange, scene } = self;
        let decided = match guests.waits() {
            false => guests.on_request(exchange, &scene.request, held),
            true => guests.on_request_waiting(exchange, &scene.request, held).await,
        };
        decided.map(drop)
    }

    async fn response(&self, held: &mut Option<Held>) -> Result<(), Fault> {
        let Self { guests, exchange, scene } = self;
        let decided = match guests.waits() {
            false => guests.on_response(exchange, &scene.request, &scene.response, held),
            true => guests.on_response_waiting(exchange, &scene.request, &scene.response, held).await,
        };
        decided.map(drop)
    }

    /// CPU time of so many. With a fresh guest, making and dropping it is in it.
    async fn requests(&self, count: usize) -> Result<Duration, Fault> {
        let begun = crate::sandbox::thread_cpu_time();
        for _ in 0..count {
            self.request(&mut None).await?;
        }
        Ok(crate::sandbox::thread_cpu_time().saturating_sub(begun))
    }

    /// With the guest that the request left, if it left one; what the request costs is not in it.
    async fn responses(&self, count: usize) -> Result<Duration, Fault> {
        /// Guests that live at once meanwhile.
        const AT_ONCE: usize = 64;
        let (mut took, mut left) = (Duration::ZERO, count);
        while left > 0 {
            let some = left.min(AT_ONCE);
            left -= some;
            let mut held: Vec<Option<Held>> = Vec::with_capacity(some);
            for _ in 0..some {
                let mut one = None;
                if self.guests.phases().0 {
                    self.request(&mut one).await?;
                }
                held.push(one);
            }
            let begun = crate::sandbox::thread_cpu_time();
            for mut one in held {
                self.response(&mut one).await?;
            }
            took += crate::sandbox::thread_cpu_time().saturating_sub(begun);
        }
        Ok(took)
    }
}
