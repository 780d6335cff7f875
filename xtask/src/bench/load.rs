//! The load generators: wrk for HTTP/1.1, h2load for HTTP/2, our own for the TCP corridor and for handshakes. Each runs for a given time
//! and is ended if it overruns it.

use super::check::KEY;
use super::contender::Contender;
use super::process::{Process, pinned};
use super::scenario::{CONNECTIONS, Direction, HANDSHAKES, Kind, Load, STREAMS};
use super::stand::Stand;
use super::trouble::Trouble;
use super::{build, tunnel_load};
use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

const DONE: &str = include_str!("../../bench/lua/done.lua");
const ROUTES: &str = include_str!("../../bench/lua/routes.lua");
const IDLE: &str = include_str!("../../bench/lua/idle.lua");

/// What the generator prints.
const LOG: &str = "load.log";

/// What a load generator counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    pub requests: u64,
    pub seconds: f64,
    /// Microseconds.
    pub p50: f64,
    pub p99: f64,
    /// Failed connections, broken answers, statuses other than 2xx and 3xx, time-outs.
    pub errors: u64,
}

/// Loads a proxy for a time.
pub fn run(stand: &Stand, proxy: &Contender, seconds: u32) -> Result<Count, Trouble> {
    match proxy.scenario.load {
        Load::Http2 => h2load(stand, proxy, seconds),
        Load::Http1 | Load::Idle | Load::Startup => wrk(stand, proxy, seconds),
        Load::Bulk(direction) => tunnel(stand, Some(direction), proxy.http, seconds),
        Load::RoundTrip => round_trips(stand, proxy.http, seconds),
        Load::Handshake(kind) => handshakes(stand, proxy, kind, seconds),
    }
}

/// One small request after the other, through a tunnel or to the origin itself.
pub fn round_trips(stand: &Stand, port: u16, seconds: u32) -> Result<Count, Trouble> {
    tunnel(stand, None, port, seconds)
}

/// `None`: small requests.
fn tunnel(stand: &Stand, direction: Option<Direction>, port: u16, seconds: u32) -> Result<Count, Trouble> {
    let mut command = pinned(stand.load_core, std::env::current_exe()?, &stand.dir, LOG)?;
    command.args(["bench", "load", tunnel_load::name(direction), &port.to_string(), &seconds.to_string()]);
    finish(command, seconds)?;
    count(&fs::read_to_string(stand.dir.join(LOG))?)
}

fn handshakes(stand: &Stand, proxy: &Contender, kind: Kind, seconds: u32) -> Result<Count, Trouble> {
    let mut command = generator(stand, proxy, build::handshakes(), LOG)?;
    let kind = if kind == Kind::Full { "full" } else { "resumed" };
    command.args([&proxy.https.to_string(), &seconds.to_string(), &HANDSHAKES.to_string(), kind]);
    finish(command, seconds)?;
    count(&fs::read_to_string(stand.dir.join(LOG))?)
}

fn wrk(stand: &Stand, proxy: &Contender, seconds: u32) -> Result<Count, Trouble> {
    let script = stand.dir.join("load.lua");
    fs::write(&script, if proxy.scenario.routes > 0 { ROUTES.to_owned() + DONE } else { DONE.to_owned() })?;
    let mut command = generator(stand, proxy, "wrk", LOG)?;
    command.args(["-t1", "--timeout", "10s", "-H", KEY, "-s"]).arg(script);
    command.args([format!("-c{CONNECTIONS}"), format!("-d{seconds}s"), url(proxy)]);
    finish(command, seconds)?;
    count(&fs::read_to_string(stand.dir.join(LOG))?)
}

/// From the line that wrk prints as `done.lua` says, and our own generators too.
fn count(text: &str) -> Result<Count, Trouble> {
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let numbers: Vec<f64> = line.unwrap_or_default().split(' ').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [requests, seconds, p50, p99, errors] if requests > 0.0 => {
            Ok(Count { requests: requests as u64, seconds, p50, p99, errors: errors as u64 })
        }
        _ => Err(Trouble::Load(format!("no count of the load generator: {text}"))),
    }
}

fn h2load(stand: &Stand, proxy: &Contender, seconds: u32) -> Result<Count, Trouble> {
    let requests = stand.dir.join("requests.log");
    // It appends.
    let _ = fs::remove_file(&requests);
    let mut command = generator(stand, proxy, "h2load", LOG)?;
    command.args(["-t1", "--groups", "X25519", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "-H", KEY, "--log-file"]).arg(&requests);
    command.args([format!("-c{}", STREAMS.0), format!("-m{}", STREAMS.1), format!("-D{seconds}"), url(proxy)]);
    finish(command, seconds)?;
    let mut count = h2load_count(&fs::read_to_string(stand.dir.join(LOG))?)?;
    (count.p50, count.p99) = percentiles(&fs::read_to_string(&requests)?);
    Ok(count)
}

/// From `finished in 3.00s, …` and `requests: 9 total, 9 started, 9 done, 8 succeeded, …`; percentiles are elsewhere.
fn h2load_count(text: &str) -> Result<Count, Trouble> {
    let read = || {
        let took = text.lines().find_map(|line| line.strip_prefix("finished in "))?.split_once(',')?.0;
        let seconds = match took.strip_suffix("ms") {
            Some(ms) => ms.parse::<f64>().ok()? / 1e3,
            None => took.strip_suffix('s')?.parse().ok()?,
        };
        let counts = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
        let counted = |what: &str| counts.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok());
        let (done, good) = (counted("done")?, counted("succeeded")?);
        (good > 0).then_some(Count { requests: good, seconds, p50: 0.0, p99: 0.0, errors: done - good })
    };
    read().ok_or_else(|| Trouble::Load(format!("h2load: {text}")))
}

/// Lines of start time, status and duration in µs.
fn percentiles(log: &str) -> (f64, f64) {
    let mut times: Vec<u64> = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |&us| us as f64);
    (at(50), at(99))
}

/// TLS connections that have each asked once and say nothing more; dropping it ends them, and ten minutes do.
pub struct Silent(Process);

impl Silent {
    /// Returns when the last of them has its answer. `number` tells several of these apart.
    pub fn open(stand: &Stand, proxy: &Contender, number: usize, connections: usize) -> Result<Self, Trouble> {
        const MOST: Duration = Duration::from_secs(60);
        let script = stand.dir.join("idle.lua");
        fs::write(&script, IDLE)?;
        let log = format!("idle-{number}.log");
        let mut command = generator(stand, proxy, "wrk", &log)?;
        command.env("BENCH_CONNECTIONS", connections.to_string()).args(["-t1", "--timeout", "600s", "-H", KEY, "-s"]).arg(script);
        command.args([format!("-c{connections}"), "-d600s".into(), url(proxy)]);
        let mut silent = Self(Process::start(command)?);
        let began = Instant::now();
        while !fs::read_to_string(stand.dir.join(&log))?.contains("ANSWERED") {
            if began.elapsed() > MOST || !silent.0.alive() {
                return Err(Trouble::Proxy(format!("{}: not all of {connections} connections are answered", proxy.name)));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(silent)
    }
}

fn generator(stand: &Stand, proxy: &Contender, program: impl AsRef<OsStr>, log: &str) -> Result<Command, Trouble> {
    let mut command = pinned(stand.load_core, program, &stand.dir, log)?;
    command.env("OPENSSL_CONF", stand.openssl()).env("BENCH_ROUTES", proxy.scenario.routes.to_string());
    Ok(command)
}

fn url(proxy: &Contender) -> String {
    let path = proxy.scenario.target().1;
    if proxy.scenario.tls { format!("https://127.0.0.1:{}{path}", proxy.https) } else { format!("http://127.0.0.1:{}{path}", proxy.http) }
}

fn finish(command: Command, seconds: u32) -> Result<(), Trouble> {
    // Connecting and summing up take a moment, on a busy machine a long one.
    let status = Process::start(command)?.finish(Duration::from_secs(u64::from(seconds) + 30))?;
    if status.success() { Ok(()) } else { Err(Trouble::Load(format!("the load generator ended with {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_s_line_is_read() {
        let counted = count("Running 3s test\n\nRESULT 1000 2.500000 700 1500 3\n").expect("right");
        assert_eq!(counted, Count { requests: 1000, seconds: 2.5, p50: 700.0, p99: 1500.0, errors: 3 });
        assert!(count("unable to connect to 127.0.0.1:1 Connection refused\n").is_err());
        assert!(count("RESULT 0 2.500000 0 0 64\n").is_err());
    }

    #[test]
    fn h2load_s_summary_is_read() {
        let text = "finished in 998.50ms, 9000.00 req/s, 9MB/s\nrequests: 9000 total, 9032 started, 9000 done, 8990 succeeded, 10 failed, 10 errored, 0 timeout\n";
        let count = h2load_count(text).expect("right");
        assert_eq!((count.requests, count.errors), (8990, 10));
        assert!((count.seconds - 0.9985).abs() < 1e-9);
        assert!(h2load_count("failed to connect").is_err());
    }

    #[test]
    fn percentiles_come_from_the_third_column() {
        let log: String = (1..=200).rev().map(|us| format!("1700000000\t200\t{us}\n")).collect();
        assert_eq!(percentiles(&log), (101.0, 199.0));
        assert_eq!(percentiles(""), (0.0, 0.0));
    }
}
