//! What was measured: samples by scenario and column, and what follows from them.

use super::load::Count;
use super::measure::{Loaded, Sample};
use super::proxies::Kind;
use super::scenario::{BULK, Scenario};

/// The samples of one column of one scenario, in the order of the rounds.
pub struct Series {
    pub scenario: &'static Scenario,
    /// The column's name: the proxy's, and its variant if it has several.
    pub name: String,
    pub proxy: String,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

/// A median with its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` for no figures.
    pub fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
        Some(Self { median: (lower + upper) / 2.0, least: *sorted.first()?, most: *sorted.last()? })
    }
}

impl Series {
    pub fn spread(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(figure))
    }

    /// CPU per request, µs, or whatever else the scenario is about.
    pub fn main(&self) -> Option<Spread> {
        self.spread(main)
    }
}

/// Of a big body.
const GIB: f64 = BULK as f64 / (1 << 30) as f64;

/// The figure that a scenario is about: µs of CPU per request, s of CPU per GiB, µs that a tunnel adds to half of the round trips,
/// KiB per connection, ms to the first answer.
pub fn main(sample: &Sample) -> Option<f64> {
    match sample {
        Sample::Load(loaded) => Some(loaded.cpu_us),
        Sample::Bulk(loaded) => Some(loaded.cpu_us / 1e6 / GIB),
        Sample::RoundTrip { through, direct } => Some(through.count.p50 - direct.p50),
        Sample::Idle { kib, .. } => Some(*kib),
        Sample::Startup { ms, .. } => Some(*ms),
    }
}

/// The run under load, of whatever kind.
pub fn loaded(sample: &Sample) -> Option<&Loaded> {
    match sample {
        Sample::Load(loaded) | Sample::Bulk(loaded) | Sample::RoundTrip { through: loaded, .. } => Some(loaded),
        Sample::Idle { .. } | Sample::Startup { .. } => None,
    }
}

/// GiB in a second, each way of a tunnel counted once.
pub fn throughput(count: &Count) -> f64 {
    count.requests as f64 * GIB / count.seconds
}

/// What a tunnel adds to the slowest hundredth of the round trips, µs.
pub fn added_at_worst(sample: &Sample) -> Option<f64> {
    if let Sample::RoundTrip { through, direct } = sample { Some(through.count.p99 - direct.p99) } else { None }
}

/// Everything that has been measured.
#[derive(Default)]
pub struct Results(pub Vec<Series>);

impl Results {
    pub fn of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(move |series| series.scenario.name == scenario && !series.samples.is_empty())
    }

    pub fn find(&self, scenario: &str, name: &str) -> Option<&Series> {
        self.0.iter().find(|series| series.scenario.name == scenario && series.name == name && !series.samples.is_empty())
    }

    /// The median of a column's main figure over that of the first nginx.
    pub fn to_nginx(&self, series: &Series) -> Option<f64> {
        let nginx = self.of(series.scenario.name).find(|other| other.kind == Kind::Nginx)?;
        Some(series.main()?.median / nginx.main()?.median)
    }

    /// The least median of the others' columns, Portcullis's builds left out; of all, or of those that are configured as usual.
    pub fn least_of_others(&self, scenario: &str, of_all: bool, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let others = self.of(scenario).filter(|other| other.kind != Kind::Portcullis && (of_all || other.name == other.proxy));
        others.filter_map(|other| Some(other.spread(&figure)?.median)).min_by(f64::total_cmp)
    }

    /// What one filter adds to a request, µs: (with N filters − without) ÷ N, the differences taken within each round.
    pub fn added(&self, filters: &Series) -> Option<Spread> {
        if filters.scenario.family != "filter" || filters.scenario.filters == 0 {
            return None;
        }
        let without = self.find("filter-0", &filters.proxy)?;
        let pairs = filters.samples.iter().zip(&without.samples);
        let count = filters.scenario.filters as f64;
        Spread::of(pairs.filter_map(|(with, without)| Some((main(with)? - main(without)?) / count)))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bench::scenario::{self, Load};

    pub fn loaded(scenario: &str, name: &str, kind: Kind, cpu: &[f64]) -> Series {
        let count = Count { requests: 3000, seconds: 3.0, p50: 700.0, p99: 1500.0, errors: 0 };
        let direct = Count { p50: 300.0, p99: 1000.0, ..count };
        let loaded = |&cpu_us| Loaded { count, cpu_us, core: 0.95, others: 0.01, origin_us: 4.0 };
        let proxy = name.split(' ').next().unwrap_or_default().to_owned();
        let scenario = scenario::find(scenario).expect("there");
        let sample = |loaded| match scenario.load {
            Load::Bulk(_) => Sample::Bulk(loaded),
            Load::RoundTrip => Sample::RoundTrip { through: loaded, direct },
            _ => Sample::Load(loaded),
        };
        Series { scenario, name: name.into(), proxy, kind, samples: cpu.iter().map(loaded).map(sample).collect() }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0].into_iter()), Some(Spread { median: 3.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of([].into_iter()), None);
    }

    #[test]
    fn added_cost_is_taken_round_by_round() {
        let results = Results(vec![
            loaded("filter-0", "portcullis", Kind::Portcullis, &[10.0, 12.0]),
            loaded("filter-5", "portcullis worker", Kind::Portcullis, &[15.0, 18.0]),
        ]);
        let added = results.added(&results.0[1]).expect("both are there");
        assert_eq!((added.least, added.most), (1.0, 1.2));
    }

    #[test]
    fn ratios_are_to_nginx() {
        let results =
            Results(vec![loaded("h1-tls", "portcullis", Kind::Portcullis, &[9.0]), loaded("h1-tls", "nginx", Kind::Nginx, &[12.0])]);
        assert_eq!(results.to_nginx(&results.0[0]), Some(0.75));
    }
}
