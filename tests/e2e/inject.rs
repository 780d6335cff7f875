//! What goes wrong on purpose, and how that is told from what goes wrong.

use portcullis_tests::{Origin, Proxy, get, proxy};
use std::time::{Duration, Instant};

fn config(origin: &Origin, fault: &str, more: &str) -> String {
    let route = format!("\"/*\" = {{ to = \"app\", fault = {{ {fault} }}{more} }}");
    proxy::site(&route, &format!("[upstream]\napp = \"{}\"", origin.name()))
}

#[test]
fn an_abort_is_an_answer_of_ours_that_says_so() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&config(&origin, "abort = 418", ""));
    let answer = get(proxy.http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (418, Some("fault_injected")));
    assert!(origin.requests().is_empty());
    proxy.access_line(|line| line.contains(" 418 fault_injected ") && line.contains("injected=abort"));
    let metrics = get(proxy.admin(), "localhost", "/metrics").text();
    for line in [
        "portcullis_faults_injected_total{site=\"a.test\",route=\"/*\",kind=\"abort\"} 1",
        "portcullis_reasons_total{of=\"exchange\",reason=\"fault_injected\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[test]
fn a_delay_comes_before_the_upstream_and_counts_for_the_total() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&config(&origin, "delay = \"300ms\"", ""));
    let begun = Instant::now();
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    proxy.access_line(|line| line.contains(" 200 - ") && line.contains("injected=delay"));

    let short = Proxy::start(&config(&origin, "delay = \"1h\"", ", timeout = \"200ms\""));
    let answer = get(short.http(), "a.test", "/");
    assert_eq!((answer.status, answer.reason()), (504, Some("exchange_timeout")));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn shares_leave_the_others_alone() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&config(&origin, "abort = 503, abort-share = \"50%\"", ""));
    let aborted = (0..200).filter(|_| get(proxy.http(), "a.test", "/").status == 503).count();
    // By chance outside of it once in 10^15 runs.
    assert!((40..=160).contains(&aborted), "{aborted}");
    assert_eq!(origin.requests().len(), 200 - aborted);
}

#[test]
fn check_and_explain_say_that_it_is_on() {
    let origin = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("portcullis.toml"), proxy::complete(&config(&origin, "abort = 503, abort-share = \"1%\"", ""))).unwrap();
    let said = |arguments: &[&str]| {
        let output = proxy::run(dir.path(), arguments);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let checked = said(&["check"]);
    assert!(checked.contains("warning[E055]") && checked.contains("1% are answered 503"), "{checked}");
    let explained = said(&["explain", "GET", "http://a.test/"]);
    assert!(explained.lines().any(|line| line.starts_with("fault ") && line.contains("1% are answered 503")), "{explained}");
}
