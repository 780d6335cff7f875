//! Every run as JSON, for whoever wants to look closer.

use super::measure::{Loaded, Sample};
use super::results::{self, Results};
use std::fmt::Write;

/// `about`: names with texts, such as the machine.
pub fn document(about: &[(&str, String)], results: &Results) -> String {
    let mut text = String::from("{\n");
    for (name, value) in about {
        let _ = writeln!(text, "  {}: {},", quoted(name), quoted(value));
    }
    let runs = results.0.iter().flat_map(|series| {
        let named = move |(round, sample)| {
            let names = format!("\"scenario\": {}, \"proxy\": {}", quoted(series.scenario.name), quoted(&series.name));
            format!("    {{ {names}, \"round\": {}, {} }}", round + 1, figures(sample))
        };
        series.samples.iter().enumerate().map(named)
    });
    let _ = write!(text, "  \"runs\": [\n{}\n  ]\n}}\n", runs.collect::<Vec<_>>().join(",\n"));
    text
}

fn figures(sample: &Sample) -> String {
    match sample {
        Sample::Load(run) => loaded(run),
        Sample::Bulk(run) => {
            let (spent, moved) = (results::main(sample).unwrap_or_default(), results::throughput(&run.count));
            format!("{}, \"cpu_s_per_gib\": {spent:.5}, \"gib_per_s\": {moved:.4}", loaded(run))
        }
        Sample::RoundTrip { through, direct } => {
            format!("{}, \"direct_p50_us\": {:.2}, \"direct_p99_us\": {:.2}", loaded(through), direct.p50, direct.p99)
        }
        Sample::Idle { connections, kib, cpu_share } => {
            format!("\"connections\": {connections}, \"kib_per_connection\": {kib:.3}, \"cpu_share\": {cpu_share:.5}")
        }
        Sample::Startup { ms, pss_mib } => format!("\"ms\": {ms:.3}, \"pss_mib\": {pss_mib:.2}"),
    }
}

fn loaded(run: &Loaded) -> String {
    let Loaded { count, cpu_us, core, others, origin_us } = run;
    format!(
        "\"requests\": {}, \"seconds\": {:.4}, \"cpu_us\": {cpu_us:.4}, \"p50_us\": {:.2}, \"p99_us\": {:.2}, \"errors\": {}, \"core\": {core:.4}, \"others\": {others:.4}, \"origin_us\": {origin_us:.4}",
        count.requests, count.seconds, count.p50, count.p99, count.errors
    )
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::super::proxies::Kind;
    use super::super::results::tests::loaded;
    use super::*;

    #[test]
    fn tunnels_have_figures_of_their_own() {
        let results =
            Results(vec![loaded("tunnel-bulk", "nginx", Kind::Nginx, &[4096.0]), loaded("tunnel-latency", "nginx", Kind::Nginx, &[11.0])]);
        let text = document(&[], &results);
        assert!(text.contains(r#""cpu_s_per_gib": 0.41943, "gib_per_s": 9.7656 }"#), "{text}");
        assert!(text.contains(r#""direct_p50_us": 300.00, "direct_p99_us": 1000.00 }"#), "{text}");
    }

    #[test]
    fn texts_are_escaped_and_runs_numbered() {
        let results = Results(vec![loaded("h1-plain", "nginx", Kind::Nginx, &[10.0, 11.0])]);
        let text = document(&[("machine", "a \"b\"\n\\".into())], &results);
        assert!(text.contains(r#""machine": "a \"b\"\u000a\\","#), "{text}");
        assert!(text.contains(r#""proxy": "nginx", "round": 2, "requests": 3000"#), "{text}");
    }
}
