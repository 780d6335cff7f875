//! One proxy, configured for one scenario, running.

use super::check;
use super::origin_process::Origin;
use super::process::{Process, pinned};
use super::proxies::{Proxy, Setup, Variant};
use super::scenario::Scenario;
use super::stand::Stand;
use super::trouble::Trouble;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far more than any start takes; 10,000 routes are a second or two for some.
const START: Duration = Duration::from_secs(60);

pub struct Contender {
    /// The column's name.
    pub name: String,
    pub scenario: &'static Scenario,
    pub http: u16,
    pub https: u16,
    /// From the start of the process to the first right answer.
    pub started_in: Duration,
    process: Option<Process>,
    proxy: Proxy,
    variant: Variant,
    dir: PathBuf,
    log: String,
}

/// What every contender of a run needs to start.
pub struct Surroundings<'a> {
    pub stand: &'a Stand,
    pub small: &'a Origin,
    /// Of big bodies.
    pub bulk: &'a Origin,
    /// Our own binary and filters, as built.
    pub built: &'a Path,
    pub guests: &'a Path,
}

impl Surroundings<'_> {
    /// That of a scenario.
    pub fn origin(&self, scenario: &Scenario) -> &Origin {
        if scenario.bulk() { self.bulk } else { self.small }
    }
}

impl Contender {
    pub fn new(proxy: &Proxy, variant: Variant, name: String, scenario: &'static Scenario, stand: &Stand) -> Result<Self, Trouble> {
        let dir = stand.dir.join(format!("{}-{}", name.replace(' ', "-"), scenario.name));
        fs::create_dir_all(&dir)?;
        Ok(Self {
            name,
            scenario,
            http: stand.port(),
            https: stand.port(),
            started_in: Duration::ZERO,
            process: None,
            proxy: proxy.clone(),
            variant,
            dir,
            log: "out.log".into(),
        })
    }

    /// Starts it and waits for its first answer.
    pub fn start(&mut self, around: &Surroundings) -> Result<(), Trouble> {
        let binary = self.proxy.program(around.built, self.scenario, &self.dir)?;
        let setup = Setup {
            scenario: self.scenario,
            variant: self.variant,
            binary: &binary,
            dir: &self.dir,
            http: self.http,
            https: self.https,
            origin: around.origin(self.scenario).port,
            cert: &around.stand.cert,
            key: &around.stand.key,
            state: &around.stand.kept,
            guests: around.guests,
        };
        let arguments = self.proxy.kind.configure(&setup)?;
        let mut command = pinned(around.stand.proxy_core, &binary, &self.dir, &self.log)?;
        command.args(arguments);
        let began = Instant::now();
        self.process = Some(Process::start(command)?);
        self.await_answer(began)
    }

    fn await_answer(&mut self, began: Instant) -> Result<(), Trouble> {
        let (host, path) = self.scenario.target();
        while began.elapsed() < START && self.process.as_mut().is_some_and(Process::alive) {
            if check::get(self.http, host, path, check::KEY, Duration::from_secs(1)).is_ok_and(|answer| answer.status == 200) {
                self.started_in = began.elapsed();
                return Ok(());
            }
            sleep(Duration::from_micros(500));
        }
        let said = ["out.log", "error.log"].map(|log| fs::read_to_string(self.dir.join(log)).unwrap_or_default()).concat();
        self.stop();
        Err(Trouble::Proxy(format!("{} {}: does not start\n{}", self.name, self.scenario.name, said.trim_end())))
    }

    /// 0 when it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    pub fn suspend(&mut self) {
        self.process.iter_mut().for_each(Process::suspend);
    }

    pub fn resume(&mut self) {
        self.process.iter_mut().for_each(Process::resume);
    }

    pub fn stop(&mut self) {
        self.process.take().iter_mut().for_each(Process::stop);
    }
}
