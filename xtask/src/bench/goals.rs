//! The speed that the project has set itself (its reasons are in README.md of this folder's data, xtask/bench).

use super::measure::Sample;
use super::proxies::Kind;
use super::results::{self, Results, Series};

/// One goal of one column, measured.
#[derive(Debug)]
pub struct Goal {
    pub proxy: String,
    pub what: &'static str,
    pub most: f64,
    pub figure: f64,
}

/// Those whose scenarios were measured.
pub fn reached(results: &Results) -> Vec<Goal> {
    let ours = results.0.iter().filter(|series| series.kind == Kind::Portcullis && !series.samples.is_empty());
    let held = |series: &Series| [goal(results, series), second(results, series)].map(|goal| goal.map(|goal| (series.name.clone(), goal)));
    ours.flat_map(held).flatten().map(|(proxy, (what, most, figure))| Goal { proxy, what, most, figure }).collect()
}

/// What a series says about a goal: its name, the most it may be, what it is.
fn goal(results: &Results, series: &Series) -> Option<(&'static str, f64, f64)> {
    let request = series.name.ends_with(" request");
    // Each filter of the scenarios acts in both phases.
    let per_phase = || Some(results.added(series)?.median / 2.0);
    Some(match series.scenario.name {
        "h1-plain" => ("h1-plain, CPU to nginx's", 1.05, results.to_nginx(series)?),
        "h1-tls" => ("h1-tls, CPU to nginx's", 0.9, results.to_nginx(series)?),
        "h2-tls" => ("h2-tls, CPU to nginx's", 1.05, results.to_nginx(series)?),
        "filter-10" if request => ("a filter and phase, µs, fresh for each request", 4.5, per_phase()?),
        "filter-10" if series.name.ends_with(" remembered") => ("a filter and phase, µs, remembered", 0.12, per_phase()?),
        "filter-10" => ("a filter and phase, µs", 0.45, per_phase()?),
        "routes-10000" => {
            let few = results.find("routes-10", &series.name)?.main()?.median;
            ("10,000 routes, CPU to that of 10", 1.1, series.main()?.median / few)
        }
        "tunnel-bulk" => ("tunnel-bulk, CPU to the others' defaults", 1.0, to_others(results, series, false, results::main)?),
        "tunnel-upload" => ("tunnel-upload, CPU to the others' defaults", 1.0, to_others(results, series, false, results::main)?),
        "tunnel-latency" => ("a tunnel's added p50, to the least of the others'", 1.0, to_others(results, series, true, results::main)?),
        "handshake-full" => ("a full handshake, CPU to nginx's", 0.6, results.to_nginx(series)?),
        "handshake-resumed" => ("a resumed handshake, CPU to nginx's", 0.7, results.to_nginx(series)?),
        "idle" => ("an idle TLS connection, KiB", 25.0, series.main()?.median),
        "startup" => ("start to the first answer, ms", 100.0, series.main()?.median),
        _ => return None,
    })
}

/// The second goal of a scenario that has two.
fn second(results: &Results, series: &Series) -> Option<(&'static str, f64, f64)> {
    Some(match series.scenario.name {
        "tunnel-bulk" => ("tunnel-bulk, CPU to the others tuned for it", 1.0, to_others(results, series, true, results::main)?),
        "tunnel-upload" => ("tunnel-upload, CPU to the others tuned for it", 1.0, to_others(results, series, true, results::main)?),
        "tunnel-latency" => {
            ("a tunnel's added p99, to the least of the others'", 1.0, to_others(results, series, true, results::added_at_worst)?)
        }
        _ => return None,
    })
}

/// Over the best that any other proxy does: as configured for all scenarios, or also with settings for this one.
fn to_others(all: &Results, series: &Series, tuned: bool, figure: fn(&Sample) -> Option<f64>) -> Option<f64> {
    Some(series.spread(figure)?.median / all.least_of_others(series.scenario.name, tuned, figure)?)
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::loaded;
    use super::*;

    #[test]
    fn goals_are_held_against_what_was_measured() {
        let results = Results(vec![
            loaded("filter-0", "portcullis", Kind::Portcullis, &[10.0]),
            loaded("filter-10", "portcullis worker", Kind::Portcullis, &[18.0]),
            loaded("filter-10", "portcullis request", Kind::Portcullis, &[110.0]),
            loaded("filter-10", "nginx", Kind::Nginx, &[11.0]),
        ]);
        let goals: Vec<(f64, f64)> = reached(&results).iter().map(|goal| (goal.most, goal.figure)).collect();
        assert_eq!(goals, [(0.45, 0.4), (4.5, 5.0)]);
    }

    #[test]
    fn a_tunnel_is_held_against_the_best_of_the_others() {
        let results = Results(vec![
            loaded("tunnel-bulk", "nginx", Kind::Nginx, &[4000.0]),
            loaded("tunnel-bulk", "portcullis", Kind::Portcullis, &[3000.0]),
            loaded("tunnel-bulk", "haproxy splice", Kind::Haproxy, &[2000.0]),
            loaded("tunnel-latency", "portcullis", Kind::Portcullis, &[10.0]),
            loaded("tunnel-latency", "haproxy", Kind::Haproxy, &[10.0]),
        ]);
        let goals: Vec<(&str, f64)> = reached(&results).iter().map(|goal| (goal.what, goal.figure)).collect();
        let expected = [
            ("tunnel-bulk, CPU to the others' defaults", 0.75),
            ("tunnel-bulk, CPU to the others tuned for it", 1.5),
            ("a tunnel's added p50, to the least of the others'", 1.0),
            ("a tunnel's added p99, to the least of the others'", 1.0),
        ];
        assert_eq!(goals, expected);
    }

    #[test]
    fn a_goal_without_its_counterpart_is_left_out() {
        assert!(reached(&Results(vec![loaded("h1-plain", "portcullis", Kind::Portcullis, &[10.0])])).is_empty());
    }
}
