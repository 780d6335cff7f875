//! `cargo xtask bench`: Portcullis beside nginx and HAProxy, on one machine, in one run.
//!
//! Origin and load generator share one core, the proxy has another. Proxies are measured in turn, round by round, every other round
//! backwards, so that a slow minute of the machine hits all alike; those that wait are suspended. What to read, and the rules:
//! xtask/bench/README.md.
//!
//! In reading order: `options`, `scenario` (what), `proxies` (of whom), `stand`, `process`, `contender` (how it is set up), `check`,
//! `load`, `measure`, then `results`, `goals`, `report`.

mod build;
mod bulk_origin;
mod check;
mod contender;
mod epoll;
mod goals;
mod head;
mod json;
mod load;
mod machine;
mod measure;
mod options;
mod origin;
mod origin_process;
mod packages;
mod process;
mod proxies;
mod report;
mod results;
mod scenario;
mod stand;
mod trouble;
mod tunnel_load;
mod usage;

use build::Built;
use contender::{Contender, Surroundings};
use options::Options;
use origin_process::Origin;
use proxies::Variant;
use results::{Results, Series};
use scenario::Scenario;
use stand::Stand;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;
use trouble::Trouble;

/// Runs the command with what follows its name.
pub fn main(arguments: &[String]) -> ExitCode {
    let done = match arguments {
        // The harness starts itself so.
        [what, port] if what == "origin" => serve(port, origin::serve).map(|()| true),
        [what, port] if what == "bulk-origin" => serve(port, bulk_origin::serve).map(|()| true),
        [load, what, port, seconds] if load == "load" => tunnel_load::run(what, port, seconds).map(|()| true),
        _ => run(arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(if matches!(error, Trouble::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn serve(port: &str, origin: fn(u16) -> std::io::Result<()>) -> Result<(), Trouble> {
    let port = port.parse().map_err(|_| Trouble::Usage(format!("{port}: not a port")))?;
    Ok(origin(port)?)
}

/// Whether everything that was asked for could be measured.
fn run(arguments: &[String]) -> Result<bool, Trouble> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{}", options::HELP);
        return Ok(true);
    };
    let built = Built::make(&options)?;
    if options.build_only {
        println!("{}\n{}", built.proxy.display(), built.guests.display());
        return Ok(true);
    }
    packages::install(&options.proxies)?;
    let stand = Stand::set_up(&build::target().join("bench"), &options)?;
    packages::install_stream(&options, &stand.dir)?;
    machine::stay_on(stand.load_core);
    let (small, bulk) = (Origin::start(&stand, "origin")?, Origin::start(&stand, "bulk-origin")?);
    let around = Surroundings { stand: &stand, small: &small, bulk: &bulk, built: &built.proxy, guests: &built.guests };
    let mut bench = Bench { options: &options, around, results: Results::default(), failures: Vec::new() };
    for family in families(&options.scenarios) {
        bench.family(&family)?;
        for scenario in family {
            print!("{}", report::table(&bench.results, scenario));
        }
    }
    bench.conclude(&built)?;
    Ok(bench.failures.is_empty())
}

/// Scenarios that are measured in the same rounds, in the order asked for.
fn families(scenarios: &[&'static Scenario]) -> Vec<Vec<&'static Scenario>> {
    let mut families: Vec<Vec<&'static Scenario>> = Vec::new();
    for scenario in scenarios {
        match families.iter_mut().find(|family| family.iter().any(|other| other.family == scenario.family)) {
            Some(family) if !family.contains(scenario) => family.push(scenario),
            Some(_) => {}
            None => families.push(vec![scenario]),
        }
    }
    families
}

struct Bench<'a> {
    options: &'a Options,
    around: Surroundings<'a>,
    results: Results,
    failures: Vec<String>,
}

impl Bench<'_> {
    fn family(&mut self, scenarios: &[&'static Scenario]) -> Result<(), Trouble> {
        let mut running = Vec::new();
        for scenario in scenarios {
            for proxy in &self.options.proxies {
                for &(variant, suffix) in Variant::of(proxy.kind, scenario) {
                    let name = format!("{}{suffix}", proxy.name);
                    let contender = Contender::new(proxy, variant, name.clone(), scenario, self.around.stand)?;
                    if let Some(contender) = self.ready(contender) {
                        self.results.0.push(Series { scenario, name, proxy: proxy.name.clone(), kind: proxy.kind, samples: Vec::new() });
                        running.push((contender, self.results.0.len() - 1));
                    }
                }
            }
        }
        for round in 0..self.options.rounds {
            for place in 0..running.len() {
                let place = if round % 2 == 0 { place } else { running.len() - 1 - place };
                if let Some((contender, series)) = running.get_mut(place) {
                    self.measure(contender, *series, round);
                }
            }
        }
        running.iter_mut().for_each(|(contender, _)| contender.stop());
        Ok(())
    }

    /// Started, right and warm; or `None`, and the reason kept.
    fn ready(&mut self, mut contender: Contender) -> Option<Contender> {
        let mut prepare = || {
            contender.start(&self.around)?;
            check::check(&contender)?;
            if contender.scenario.loads() {
                load::run(self.around.stand, &contender, 1)?;
            }
            contender.suspend();
            Ok(())
        };
        match prepare() {
            Ok(()) => Some(contender),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    fn measure(&mut self, contender: &mut Contender, series: usize, round: usize) {
        contender.resume();
        // It has to see first that the connections of its last turn are gone.
        sleep(Duration::from_millis(50));
        let sample = measure::once(&self.around, contender, self.options.seconds, self.options.connections);
        contender.suspend();
        match (sample, self.results.0.get_mut(series)) {
            (Ok(sample), Some(series)) => {
                let figure = results::main(&sample).unwrap_or_default();
                eprintln!("{} {}/{} {}: {figure:.2}", series.scenario.name, round + 1, self.options.rounds, series.name);
                series.samples.push(sample);
            }
            (Err(error), _) => self.failed(&error),
            (Ok(_), None) => {}
        }
    }

    fn failed(&mut self, error: &Trouble) {
        eprintln!("FAILED {error}");
        self.failures.push(error.to_string());
    }

    fn conclude(&self, built: &Built) -> Result<(), Trouble> {
        print!("{}{}", report::added(&self.results), report::goals(&self.results));
        let mut about = vec![("machine", machine::describe()), ("command", format!("cargo xtask bench {}", self.options.line))];
        for proxy in &self.options.proxies {
            let describe = |binary: &Path| format!("{}, {}", proxy.kind.version(binary), binary.display());
            let usual = proxy.binary(&built.proxy)?;
            about.push(("proxy", format!("{}: {}", proxy.name, describe(&usual))));
            for scenario in self.options.scenarios.iter().filter(|scenario| scenario.tunnel()) {
                // A failure of it has been told.
                if let Ok(other) = proxy.program(&built.proxy, scenario, &self.around.stand.dir)
                    && other != usual
                {
                    about.push((
                        "proxy",
                        format!("{} in {}: {}, because the other has no stream module", proxy.name, scenario.name, describe(&other)),
                    ));
                }
            }
        }
        for (name, value) in &about {
            println!("{name}: {value}  ");
        }
        for failure in &self.failures {
            println!("FAILED {failure}  ");
        }
        if let Some(file) = &self.options.json {
            std::fs::write(file, json::document(&about, &self.results))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_a_family_share_their_rounds() {
        let chosen = ["filter-10", "idle", "filter-0", "idle"].map(|name| scenario::find(name).expect("there"));
        let names: Vec<Vec<&str>> = families(&chosen).iter().map(|family| family.iter().map(|scenario| scenario.name).collect()).collect();
        assert_eq!(names, [vec!["filter-10", "filter-0"], vec!["idle"]]);
    }
}
