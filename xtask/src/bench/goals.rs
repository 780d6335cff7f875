//! The speed that the project has set itself (its reasons are in README.md of this folder's data, xtask/bench).

use super::proxies::Kind;
use super::results::{Results, Series};

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
    ours.filter_map(|series| {
        let (what, most, figure) = goal(results, series)?;
        Some(Goal { proxy: series.name.clone(), what, most, figure })
    })
    .collect()
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
        "filter-10" => ("a filter and phase, µs", 0.45, per_phase()?),
        "routes-10000" => {
            let few = results.find("routes-10", &series.name)?.main()?.median;
            ("10,000 routes, CPU to that of 10", 1.1, series.main()?.median / few)
        }
        "idle" => ("an idle TLS connection, KiB", 30.0, series.main()?.median),
        "startup" => ("start to the first answer, ms", 100.0, series.main()?.median),
        _ => return None,
    })
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
    fn a_goal_without_its_counterpart_is_left_out() {
        assert!(reached(&Results(vec![loaded("h1-plain", "portcullis", Kind::Portcullis, &[10.0])])).is_empty());
    }
}
