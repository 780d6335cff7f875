//! What a scrape costs: `cargo bench -p portcullis --bench scrape`. Prints microseconds of CPU for a text of so many series; the goal is 1,000 for
//! 1,000 of them. The admin listener has a thread of its own, so no request waits for it.

mod bare;

use bare::quiet;
use portcullis::observe::{Exposition, Format, Over, Registry};
use std::time::Duration;

/// As many as a proxy of that many cores has.
const WORKERS: usize = 4;

fn main() {
    println!("{:<8} {:>8} {:>12} {:>15} {:>18}", "routes", "series", "bytes", "prometheus us", "openmetrics us");
    for routes in [10, 34, 340] {
        let registry = busy(routes);
        let text = scrape(&registry, Format::Prometheus);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        let [prometheus, open] = [Format::Prometheus, Format::OpenMetrics].map(|format| {
            quiet(|| {
                std::hint::black_box(scrape(&registry, format));
            }) / 1e3
        });
        println!("{routes:<8} {series:>8} {:>12} {prometheus:>15.0} {open:>18.0}", text.len());
    }
}

/// After traffic to each of so many routes, and to an upstream for every ten.
fn busy(routes: usize) -> Registry {
    let registry = Registry::default();
    for _ in 0..WORKERS {
        let worker = registry.worker();
        for number in 0..routes {
            let route = worker.route("app.example.com", &format!("/service-{number}/*"));
            for (status, millis) in [(Some(200), 3), (Some(404), 1), (Some(503), 700), (None, 20)] {
                route.take(Over { status, total: Duration::from_millis(millis), received: 100, sent: 10_000 });
            }
            if number % 10 == 0 {
                let upstream = worker.upstream(&format!("upstream-{number}"));
                upstream.requests.add(1000);
                upstream.connects.observe(Duration::from_micros(300));
                upstream.answers.observe(Duration::from_millis(3));
            }
        }
        worker.because("exchange", "no_route");
    }
    registry
}

fn scrape(registry: &Registry, format: Format) -> String {
    let mut out = Exposition::new(format);
    registry.write(&mut out);
    out.finish()
}
