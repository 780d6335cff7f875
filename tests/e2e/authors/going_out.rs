//! Cases of plugins that choose servers, judge attempts, hear how exchanges end, and tick: `tests/guests/journey`.

use super::{json, run};
use portcullis_tests::tools;
use serde_json::Value;

const CASES: &str = r#"[[case]]
name           = "the zone that the client asks for"
config         = { do = "tag" }
request        = { headers = { x-zone = "b" } }
balance        = { servers = ["10.0.0.1:80", { address = "10.0.0.2:80", tags = ["b", "new"], weight = 3 }] }
expect-balance = { server = "10.0.0.2:80", attributes = { "log.zone" = false } }
[[case.then]]
request        = { headers = { x-zone = "c" } }
expect-balance = { server = false, attributes = { "log.zone" = "elsewhere" } }

[[case]]
name           = "this one is wrong"
config         = { do = "choose-last" }
balance        = { servers = ["10.0.0.1:80", "10.0.0.2:80"] }
expect-balance = { server = "10.0.0.1:80" }
attempt        = { status = 503 }
expect-attempt = { verdict = "again" }
expect-done    = { log = "nobody says this" }

[[case]]
name           = "so is this, which is not even asked"
config         = { do = "stop" }
attempt        = { status = 500 }
expect-attempt = { verdict = "stop" }
"#;

#[test]
fn cases_have_choices_of_servers_attempts_that_fail_and_ends() {
    let guest = tools::guest("journey");
    let arguments = ["plugin", "test", guest.to_str().unwrap(), "cases.toml"];
    let (code, text) = run(&[("cases.toml", CASES)], &arguments);
    assert_eq!(code, Some(1), "{text}");
    for wanted in [
        "ok      the zone that the client asks for",
        "FAILED  this one is wrong",
        "cases.toml:15:29  server: wanted \"10.0.0.1:80\", got \"10.0.0.2:80\"",
        "cases.toml:17:30  verdict: wanted again, got next",
        "cases.toml:18:26  log: wanted a line with \"nobody says this\", got ",
        "on-balance decided: choose 10.0.0.2:80",
        "on-attempt decided: next",
        "set-attribute log.attempt: status",
        "attempts=1 503 -",
        "cases.toml:24:30  on-attempt: wanted it is called, got it is not: to this plugin, 500 is no failure",
        "1 passed, 2 failed",
    ] {
        assert!(text.contains(wanted), "{wanted} not in:\n{text}");
    }
    let (_, tested) = json(&[("cases.toml", CASES)], &arguments);
    let decided = tested["cases"][0]["decided"].as_array().unwrap();
    let of = |decided: &Value| format!("{} {} {} {}", decided["step"], decided["phase"], decided["verdict"], decided["server"]);
    let all: Vec<_> = decided.iter().map(of).collect();
    assert_eq!(all, [r#"0 "on-balance" "choose" "10.0.0.2:80""#, r#"1 "on-balance" "next" null"#]);
}

const OFFERED: &str =
    "balance.servers = [\"10.0.0.1:8080\", { address = \"10.0.0.2:8080\", tags = \"b\", running = 7, latency = \"3ms\" }]";

/// What `journey` is told to do, and what is to come of it.
const CASES_OF_JOURNEY: [(&str, &str); 22] = [
    ("choose-last", "expect-balance.server = \"10.0.0.2:8080\""),
    ("next", "expect-balance.server = false\nattempt.reason = \"connect_refused\"\nexpect-attempt.verdict = \"next\""),
    ("choose-nobody", "expect-balance.fault = \"bad-output\""),
    ("reserved", "expect-balance.fault = \"bad-output\""),
    ("trap-balance", "expect-balance.fault = \"trap\""),
    ("loop-balance", "expect-balance.fault = \"timeout\""),
    ("stop", "attempt.status = 503\nexpect-attempt = { verdict = \"stop\", attributes = { \"log.attempt\" = \"status\" } }"),
    ("again", "attempt.reason = \"origin_reset\"\nexpect-attempt.verdict = \"again\""),
    // It chose the last one, which failed; the other is left.
    ("again-on", "attempt.status = 503\nexpect-attempt.server = \"10.0.0.1:8080\"\nresponse = {}\nexpect-done.log = \"attempts=2 200\""),
    ("again-on-nobody", "attempt.status = 503\nexpect-attempt.fault = \"bad-output\""),
    ("trap-attempt", "attempt.status = 503\nexpect-attempt.fault = \"trap\""),
    (
        "look",
        "balance.failed = 1\nexpect-balance = { attributes = { \"log.journey\" = \"seen\" }, log = \"choice true app failed=1 GET / 0 route=/*,upstream=app,request.path=/ [0:true:1::0:false 1:true:1:b:7:true]\" }",
    ),
    (
        "look",
        "attempt = { number = 2, reason = \"response_timeout\", server = \"10.0.0.1:8080\" }\nexpect-attempt.log = \"attempt true 2 response_timeout None sent=true left=1 [1:true:1:b:7:true]\"",
    ),
    ("look", "attempt = { reason = \"connect_timeout\", left = 0 }\nexpect-attempt.log = \"connect_timeout None sent=false left=0 []\""),
    ("next", "response = {}\nexpect-done.log = \"done next true app@server attempts=1 200 - timed=true received=0 sent=0\""),
    ("next", "attempt.reason = \"connect_refused\"\nexpect-done.log = \"attempts=1 502 connect_refused\""),
    (
        "next",
        "done = { reason = \"client_gone\", attempts = 3, server = false, received = 5 }\nexpect-done.log = \"app@- attempts=3 - client_gone timed=true received=5\"",
    ),
    (
        "next",
        "done = { status = 504, reason = \"response_timeout\", sent = 70 }\nexpect-done.log = \"504 response_timeout timed=true received=0 sent=70\"",
    ),
    ("reply", "expect.status = 418\nexpect-done.log = \"done reply true @- attempts=0 418 - timed=true received=0 sent=5\""),
    ("abort", "expect.verdict = \"abort\"\nexpect-done.log = \"done abort true @- attempts=0 - plugin_abort\""),
    ("trap-done", "expect-done.fault = \"trap\""),
    ("trap-tick", "tick = {}\nexpect-tick.fault = \"trap\""),
];

const TICKS: &str = r#"
[[case]]
name        = "ticks go on"
config      = { do = "tick" }
tick        = {}
expect-tick = { log = "tick 0 of 0/1" }
[[case.then]]
after       = "1s"
expect-done = { log = "done tick" }
[[case.then]]
tick        = { worker = 1, workers = 2 }
expect-tick = { log = "tick 1 of 1/2" }
"#;

#[test]
fn cases_see_every_phase_on_the_way_to_an_upstream_and_after() {
    let of = |(number, (what, rest)): (usize, &(&str, &str))| {
        let offered = if rest.contains("balance") || what.starts_with("again-on") || *what == "look" { OFFERED } else { "" };
        format!("[[case]]\nname = \"{number} {what}\"\nconfig = {{ do = {what:?} }}\n{offered}\n{rest}\n")
    };
    let cases = CASES_OF_JOURNEY.iter().enumerate().map(of).collect::<String>() + TICKS;
    let guest = tools::guest("journey");
    let (code, text) = run(&[("cases.toml", &cases)], &["plugin", "test", guest.to_str().unwrap(), "cases.toml"]);
    assert!(code == Some(0) && text.contains(&format!("{} passed, 0 failed", CASES_OF_JOURNEY.len() + 1)), "{text}");
}

#[test]
fn mistakes_about_servers_and_attempts_are_shown_where_they_stand() {
    let cases = r#"[[case]]
name = "one"
balance = { servers = ["10.0.0.1:80", "10.0.0.2"], fail = 1 }
expect-balance = { server = "10.0.0.1:80" }
[[case]]
name = "two"
balance = { servers = ["10.0.0.1:80", "10.0.0.2:80"] }
expect-balance = { server = "10.0.0.3:80" }
attempt = { reason = "connect_refuse" }
expect-attempt = { verdict = "again" }
[[case]]
name = "three"
expect-attempt = { verdict = "again" }
[[case]]
name = "four"
balance = { servers = ["10.0.0.1:80"] }
expect-balance = { server = false }
[[case]]
name = "five"
tick = {}
request = {}
[[case]]
name = "six"
attempt = { status = 503, reason = "origin_reset" }
expect-attempt = {}
[[case]]
name = "seven"
balance = { servers = ["10.0.0.1:80", "10.0.0.1:80"] }
attempt = { status = 503 }
expect-attempt = { verdict = "again", server = "10.0.0.1:80" }
"#;
    let guest = tools::guest("journey");
    let (code, text) = run(&[("cases.toml", cases)], &["plugin", "test", guest.to_str().unwrap(), "cases.toml"]);
    assert_eq!(code, Some(1), "{text}");
    for (place, says) in [
        ("cases.toml:3:", "the port is missing"),
        ("cases.toml:3:52", "did you mean `failed`?"),
        ("cases.toml:8:29", "`10.0.0.3:80` is none of the servers"),
        ("cases.toml:8:29", "= servers: 10.0.0.1:80, 10.0.0.2:80"),
        ("cases.toml:9:22", "did you mean \"connect_refused\"?"),
        ("cases.toml:13:", "`expect-attempt` needs `attempt`"),
        ("cases.toml:16:23", "there is nothing to choose"),
        ("cases.toml:21:1", "`request` is of requests, and this is a tick"),
        ("cases.toml:24:27", "either there is a response, or a reason why not"),
        ("cases.toml:28:39", "the server 10.0.0.1:80 is written twice"),
        ("cases.toml:30:30", "which says \"again-on\""),
    ] {
        assert!(text.contains(place) && text.contains(says), "{place} with {says} not in:\n{text}");
    }
}

#[test]
fn what_a_balancer_costs_is_measured_by_phase() {
    let guest = tools::guest("journey");
    let phases = |benched: &Value| -> Vec<String> {
        let calls = benched["calls"].as_array().unwrap().iter();
        calls.filter(|call| call["isolate"] == "worker").map(|call| call["phase"].as_str().unwrap().to_owned()).collect()
    };
    let settings = [("s.toml", "do = \"tick\"\n")];
    let (code, benched) = json(&settings, &["plugin", "bench", guest.to_str().unwrap(), "--settings", "s.toml", "--time", "1"]);
    assert_eq!(
        (code, phases(&benched)),
        (Some(0), ["on-balance", "on-attempt", "on-done", "on-tick"].map(str::to_owned).to_vec()),
        "{benched}"
    );
    assert!(benched["guest"]["memory"].as_u64() >= Some(64 << 10), "{benched}");
    let (code, benched) =
        json(&[("cases.toml", CASES)], &["plugin", "bench", guest.to_str().unwrap(), "--cases", "cases.toml", "--time", "1"]);
    assert_eq!(
        (code, phases(&benched)),
        (Some(0), ["on-balance", "on-balance", "on-attempt", "on-done"].map(str::to_owned).to_vec()),
        "{benched}"
    );
    assert!(benched["calls"][0]["cpu"]["median_ns"].as_u64() > Some(0), "{benched}");
}
