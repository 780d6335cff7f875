//! One figure at a time: CPU per request under load, memory of idle connections, time to the first answer.

use super::check;
use super::contender::{Contender, Surroundings};
use super::load::{self, Count, Silent};
use super::origin_process::Origin;
use super::scenario::Load;
use super::stand::Stand;
use super::trouble::Trouble;
use super::usage;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a run that others disturbed is done again.
const AGAIN: usize = 2;
/// More than this share of either core, taken by neither proxy, origin nor load generator, is a disturbance.
const DISTURBED: f64 = 0.05;

/// A run under load. Shares are of a core's time, 0 to 1; µs are of CPU for each request.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    pub count: Count,
    pub cpu_us: f64,
    pub core: f64,
    pub others: f64,
    pub origin_us: f64,
}

/// What one run gave.
#[derive(Debug, Clone)]
pub enum Sample {
    Load(Loaded),
    /// Of big bodies.
    Bulk(Loaded),
    /// Small requests one by one, through a tunnel and, just before, without one.
    RoundTrip {
        through: Loaded,
        direct: Count,
    },
    Idle {
        connections: usize,
        kib: f64,
        cpu_share: f64,
    },
    Startup {
        ms: f64,
        pss_mib: f64,
    },
}

/// Measures a contender once, as its scenario says.
pub fn once(around: &Surroundings, proxy: &mut Contender, seconds: u32, connections: usize) -> Result<Sample, Trouble> {
    let origin = around.origin(proxy.scenario);
    match proxy.scenario.load {
        Load::Http1 | Load::Http2 | Load::Handshake(_) => Ok(Sample::Load(loaded(around.stand, origin, proxy, seconds)?)),
        Load::Bulk(_) => Ok(Sample::Bulk(loaded(around.stand, origin, proxy, seconds)?)),
        Load::RoundTrip => {
            let direct = load::round_trips(around.stand, origin.port, seconds)?;
            Ok(Sample::RoundTrip { through: loaded(around.stand, origin, proxy, seconds)?, direct })
        }
        Load::Idle => idle(around, proxy, seconds, connections),
        Load::Startup => startup(around, proxy),
    }
}

fn loaded(stand: &Stand, origin: &Origin, proxy: &mut Contender, seconds: u32) -> Result<Loaded, Trouble> {
    let mut best = loaded_once(stand, origin, proxy, seconds)?;
    for _ in 0..AGAIN {
        if best.others <= DISTURBED {
            break;
        }
        let again = loaded_once(stand, origin, proxy, seconds)?;
        if again.others < best.others {
            best = again;
        }
    }
    Ok(best)
}

/// Readings before and after a run.
struct Readings {
    at: Instant,
    proxy: Duration,
    origin: Duration,
    generator: Duration,
    load_core: Duration,
    proxy_core: Duration,
}

impl Readings {
    fn take(stand: &Stand, origin: &Origin, proxy: &Contender) -> Self {
        Self {
            at: Instant::now(),
            proxy: usage::cpu(proxy.pid()),
            origin: usage::cpu(origin.pid()),
            generator: usage::reaped(),
            load_core: usage::core(stand.load_core),
            proxy_core: usage::core(stand.proxy_core),
        }
    }
}

fn loaded_once(stand: &Stand, origin: &Origin, proxy: &Contender, seconds: u32) -> Result<Loaded, Trouble> {
    let before = Readings::take(stand, origin, proxy);
    let count = load::run(stand, proxy, seconds)?;
    let after = Readings::take(stand, origin, proxy);
    let span = (after.at - before.at).as_secs_f64();
    let (cpu, origin_cpu) = (after.proxy.saturating_sub(before.proxy), after.origin.saturating_sub(before.origin));
    let ours = origin_cpu + after.generator.saturating_sub(before.generator);
    let foreign =
        |after: Duration, before: Duration, ours: Duration| after.saturating_sub(before).saturating_sub(ours).as_secs_f64() / span;
    let others = foreign(after.load_core, before.load_core, ours).max(foreign(after.proxy_core, before.proxy_core, cpu));
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / count.requests as f64;
    let core = cpu.as_secs_f64() / span;
    Ok(Loaded { count, cpu_us: per_request(cpu), core, others, origin_us: per_request(origin_cpu) })
}

/// Memory of connections that have asked once and are silent since.
fn idle(around: &Surroundings, proxy: &mut Contender, seconds: u32, connections: usize) -> Result<Sample, Trouble> {
    // What an allocator has kept from the last round would hide what this one takes.
    proxy.stop();
    proxy.start(around)?;
    check::check(proxy)?;
    let base = usage::pss(proxy.pid());
    let _generators = open(around.stand, proxy, connections)?;
    let (at, cpu) = (Instant::now(), usage::cpu(proxy.pid()));
    sleep(Duration::from_secs(u64::from(seconds)));
    let cpu_share = usage::cpu(proxy.pid()).saturating_sub(cpu).as_secs_f64() / at.elapsed().as_secs_f64();
    let open = usage::accepted(proxy.https);
    let grown = usage::pss(proxy.pid()).saturating_sub(base);
    if open < connections {
        return Err(Trouble::Proxy(format!("{}: only {open} of {connections} connections stayed open", proxy.name)));
    }
    Ok(Sample::Idle { connections, kib: grown as f64 / 1024.0 / open as f64, cpu_share })
}

/// Opens connections a few at a time: clients do not come all at once, and what an allocator keeps of a thousand handshakes at a time
/// is not what a connection costs.
fn open(stand: &Stand, proxy: &Contender, connections: usize) -> Result<Vec<Silent>, Trouble> {
    const BATCH: usize = 250;
    (0..connections).step_by(BATCH).map(|first| Silent::open(stand, proxy, first, BATCH.min(connections - first))).collect()
}

fn startup(around: &Surroundings, proxy: &mut Contender) -> Result<Sample, Trouble> {
    proxy.stop();
    proxy.start(around)?;
    let pss_mib = usage::pss(proxy.pid()) as f64 / f64::from(1 << 20);
    Ok(Sample::Startup { ms: proxy.started_in.as_secs_f64() * 1e3, pss_mib })
}
