//! Results as Markdown.

use super::goals;
use super::measure::{Loaded, Sample};
use super::results::{self, Results, Series, Spread};
use super::scenario::{Load, Scenario};
use std::fmt::Write;

/// The table of one scenario; empty when nothing was measured.
pub fn table(results: &Results, scenario: &Scenario) -> String {
    let series: Vec<&Series> = results.of(scenario.name).collect();
    if series.is_empty() {
        return String::new();
    }
    let head: &[&str] = match scenario.load {
        Load::Http1 | Load::Http2 => &["proxy", "CPU µs/req", "/nginx", "req/s", "p50 µs", "p99 µs", "core %", "errors"],
        Load::Handshake(_) => &["proxy", "CPU µs/handshake", "/nginx", "handshakes/s", "p50 µs", "p99 µs", "core %", "errors"],
        Load::Bulk(_) => &["proxy", "CPU s/GiB", "/nginx", "GiB/CPU s", "GiB/s", "core %", "errors"],
        Load::RoundTrip => &["proxy", "added p50 µs", "/nginx", "added p99 µs", "p50 µs direct", "CPU µs/round trip", "core %", "errors"],
        Load::Idle => &["proxy", "KiB/connection", "/nginx", "connections", "CPU % while idle"],
        Load::Startup => &["proxy", "ms to the first answer", "/nginx", "PSS then, MiB"],
    };
    let rows = series.iter().map(|series| row(results, series));
    let mut text = format!("### {}\n\n{}", scenario.name, markdown(head, rows));
    let runs = series.iter().flat_map(|series| &series.samples).filter_map(results::loaded);
    let others = runs.map(|run| (run.others, run.origin_us));
    let (others, origin): (Vec<f64>, Vec<f64>) = others.unzip();
    if let (Some(others), Some(origin)) = (Spread::of(others.into_iter()), Spread::of(origin.into_iter())) {
        let shares = format!("median {:.1} %, most {:.1} %", others.median * 100.0, others.most * 100.0);
        let _ = write!(text, "\nOthers took of the busier core: {shares}. The origin: {:.1} µs/req.\n", origin.median);
    }
    text + "\n"
}

fn row(all: &Results, series: &Series) -> Vec<String> {
    let figure = |pick: &dyn Fn(&Sample) -> Option<f64>, digits| spread(series.spread(pick), digits);
    let run = |pick: &dyn Fn(&Loaded) -> f64, digits| figure(&|sample| results::loaded(sample).map(pick), digits);
    let core = series.spread(|sample| results::loaded(sample).map(|run| run.core * 100.0));
    let core = core.map_or("-".into(), |core| format!("{:.0}", core.median));
    let errors = series.samples.iter().filter_map(results::loaded).map(|run| run.count.errors).sum::<u64>().to_string();
    let ratio = all.to_nginx(series).map_or("-".into(), |ratio| format!("{ratio:.2}"));
    let digits = match series.scenario.load {
        Load::Startup | Load::RoundTrip => 1,
        Load::Bulk(_) => 3,
        _ => 2,
    };
    let mut cells = vec![series.name.clone(), spread(series.main(), digits), ratio];
    cells.extend(match series.scenario.load {
        Load::Http1 | Load::Http2 | Load::Handshake(_) => vec![
            run(&|run| run.count.requests as f64 / run.count.seconds, 0),
            run(&|run| run.count.p50, 0),
            run(&|run| run.count.p99, 0),
            core,
            errors,
        ],
        Load::Bulk(_) => vec![
            figure(&|sample| results::main(sample).map(|spent| 1.0 / spent), 2),
            run(&|run| results::throughput(&run.count), 2),
            core,
            errors,
        ],
        Load::RoundTrip => vec![
            figure(&results::added_at_worst, 1),
            figure(&|sample| if let Sample::RoundTrip { direct, .. } = sample { Some(direct.p50) } else { None }, 1),
            run(&|run| run.cpu_us, 2),
            core,
            errors,
        ],
        Load::Idle => vec![
            figure(&|sample| if let Sample::Idle { connections, .. } = sample { Some(*connections as f64) } else { None }, 0),
            figure(&|sample| if let Sample::Idle { cpu_share, .. } = sample { Some(cpu_share * 100.0) } else { None }, 2),
        ],
        Load::Startup => vec![figure(&|sample| if let Sample::Startup { pss_mib, .. } = sample { Some(*pss_mib) } else { None }, 1)],
    });
    cells
}

/// What a filter adds, if filters were measured.
pub fn added(results: &Results) -> String {
    let mut names: Vec<&str> = results.0.iter().filter(|series| results.added(series).is_some()).map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    let cell = |scenario: &str, name: &str| spread(results.find(scenario, name).and_then(|series| results.added(series)), 2);
    let rows = names.iter().map(|name| {
        let scenarios = ["filter-1", "filter-5", "filter-10"].map(|scenario| cell(scenario, name));
        [vec![(*name).to_owned()], scenarios.to_vec()].concat()
    });
    let table = markdown(&["proxy", "of 1", "of 5", "of 10"], rows);
    format!("### Added by each filter, CPU µs/request (two phases for Portcullis: half of it is one phase)\n\n{table}\n")
}

/// The goals of the project, as far as their scenarios were measured.
pub fn goals(results: &Results) -> String {
    let reached = goals::reached(results);
    if reached.is_empty() {
        return String::new();
    }
    let rows = reached.iter().map(|goal| {
        let verdict = if goal.figure <= goal.most { "reached" } else { "**missed**" };
        vec![goal.proxy.clone(), goal.what.to_owned(), format!("≤ {}", goal.most), format!("{:.2}", goal.figure), verdict.to_owned()]
    });
    format!("### Goals\n\n{}\n", markdown(&["proxy", "figure", "goal", "measured", ""], rows))
}

fn markdown(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// `11.20 [10.80..11.70]`
fn spread(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most }) = spread else { return "-".into() };
    format!("{} [{}..{}]", grouped(median, digits), grouped(least, digits), grouped(most, digits))
}

/// With commas between thousands.
fn grouped(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::super::proxies::Kind;
    use super::super::results::tests::loaded;
    use super::super::scenario;
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [(83_755.4, 0, "83,755"), (999.0, 0, "999"), (-123.45, 1, "-123.5"), (1_234_567.0, 0, "1,234,567"), (0.456, 2, "0.46")];
        for (number, digits, text) in cases {
            assert_eq!(grouped(number, digits), text);
        }
    }

    #[test]
    fn a_table_has_medians_and_ratios() {
        let results = Results(vec![
            loaded("h1-plain", "portcullis", Kind::Portcullis, &[11.0, 10.0, 12.0]),
            loaded("h1-plain", "nginx", Kind::Nginx, &[10.0, 10.0, 10.0]),
        ]);
        let text = table(&results, scenario::find("h1-plain").expect("there"));
        assert!(text.contains("| portcullis | 11.00 [10.00..12.00] | 1.10 | 1,000 [1,000..1,000] |"), "{text}");
        assert!(text.contains("| nginx | 10.00 [10.00..10.00] | 1.00 |"), "{text}");
        assert_eq!(table(&results, scenario::find("h2-tls").expect("there")), "");
    }
}
