//! What a plugin can be granted, as the guest `able` uses it: each capability does what `wit/capabilities.wit` says of it.

mod http;
mod kv;

use portcullis_tests::{Origin, Proxy, Response, get, get_with, proxy, tools};
use std::time::{Duration, Instant};

/// Everything that `able` imports.
const ALL: &str =
    "log = true, clock = true, random = true, metrics = true, tracing = true, secret = [\"TOKEN\"], kv = [\"near\"], http = [\"idp\"]";

/// What a test changes of the usual configuration.
pub struct Able<'a> {
    app: &'a Origin,
    /// The upstream that the plugin may ask.
    idp: String,
    workers: u32,
    /// Lines of `[plugin.able]`.
    plugin: &'a str,
    /// Members of `allow`.
    allow: &'a str,
    /// Settings of the link.
    told: &'a str,
    /// More tables.
    tables: &'a str,
}

impl<'a> Able<'a> {
    pub fn of(app: &'a Origin) -> Self {
        let tables = "[kv]\nnear = \"memory\"\n";
        Self { app, idp: portcullis_tests::nobody().to_string(), workers: 1, plugin: "", allow: ALL, told: "", tables }
    }

    pub fn config(&self) -> String {
        let Self { app, idp, workers, plugin, allow, told, tables } = self;
        format!(
            r#"
[server]
workers = {workers}
state = "state"
[plugin.able]
source = "{}"
allow = {{ {allow} }}
{plugin}
[secret]
TOKEN = {{ file = "token" }}
OTHER = "not granted"
{tables}
[site."*"]
tls = "off"
[site."*".routes]
"/plain/*" = "app"
"/*" = {{ to = "app", chain = [{{ use = "able", config = {{ {told} }} }}] }}
[upstream.app]
servers = ["{}"]
[upstream.idp]
servers = ["{idp}"]
[upstream.other]
servers = ["{idp}"]
"#,
            tools::guest("able").display(),
            app.name()
        )
    }

    pub fn dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "sesame\n").unwrap();
        dir
    }

    fn start(&self) -> Proxy {
        Proxy::start_in(Self::dir(), &self.config())
    }

    /// What `check` says, which is no.
    fn refused(&self) -> String {
        let dir = Self::dir();
        std::fs::write(dir.path().join("portcullis.toml"), self.config()).unwrap();
        let output = proxy::run(dir.path(), &["check"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }
}

/// The answer to a request that tells the guest these steps.
fn told(proxy: &Proxy, steps: &str) -> Response {
    get_with(proxy.http(), "a.test", "/x", &format!("X-Do: {steps}\r\n"))
}

/// What came of these steps, a line each.
fn run(proxy: &Proxy, steps: &str) -> Vec<String> {
    let response = told(proxy, steps);
    assert_eq!(response.status, 200, "{steps}: {response:?}");
    response.text().lines().map(str::to_owned).collect()
}

/// Asks again until it is so.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_not_granted_refuses_the_plugin_and_says_what_to_add() {
    let app = Origin::echo();
    for (capability, line) in [
        ("log", "log = true"),
        ("clock", "clock = true"),
        ("random", "random = true"),
        ("metrics", "metrics = true"),
        ("tracing", "tracing = true"),
        ("secret", "secret = [\"…\"]"),
        ("kv", "kv = [\"…\"]"),
        ("http-client", "http = [\"…\"]"),
    ] {
        let word = line.split(' ').next().unwrap();
        let granted = ALL.replacen(", ", ",\u{0}", 16).split('\u{0}').filter(|grant| !grant.starts_with(word)).collect::<String>();
        let said = Able { allow: granted.trim_end_matches(','), ..Able::of(&app) }.refused();
        assert!(said.contains("E031") && said.contains(&format!("portcullis:plugin/{capability}")), "{capability}: {said}");
        assert!(said.contains(&format!("allow = {{ {line} }}")) && said.contains("portcullis.toml:"), "{capability}: {said}");
    }
}

#[test]
fn a_grant_names_what_is_declared() {
    let app = Origin::echo();
    for (granted, wrong) in [("[\"near\"]", "[\"neer\"]"), ("[\"TOKEN\"]", "[\"TOKN\"]"), ("[\"idp\"]", "[\"ipd\"]")] {
        let said = Able { allow: &ALL.replace(granted, wrong), ..Able::of(&app) }.refused();
        let (granted, wrong) = (granted.trim_matches(['[', ']']), wrong.trim_matches(['[', ']', '"']));
        assert!(said.contains(wrong) && said.contains(granted.trim_matches('"')) && said.contains("portcullis.toml:"), "{said}");
    }
}

#[test]
fn secrets_are_shown_to_those_that_were_granted_them() {
    let app = Origin::echo();
    let proxy = Able { told: "secret = \"TOKEN\"", ..Able::of(&app) }.start();
    assert_eq!(run(&proxy, "secret TOKEN; secret OTHER; secret NONE; configured"), ["sesame", "none", "none", "sesame"]);
}

#[test]
fn the_clock_and_random_numbers_are_real() {
    let app = Origin::echo();
    let proxy = Able::of(&app).start();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let lines = run(&proxy, "now; monotonic; random 16; random 65536; random 0");
    let said: u64 = lines[0].parse().unwrap();
    assert!((before..=now()).contains(&said), "{said}");
    assert_eq!(lines[1..], ["true", "16 true", "65536 true", "0 false"]);
    assert_eq!(told(&proxy, "random 65537").reason(), Some("plugin_trap"));
}

#[test]
fn lines_in_the_log_carry_link_and_exchange_and_are_harmless() {
    let app = Origin::echo();
    let proxy = Able::of(&app).start();
    run(&proxy, "log info one line; log warn two; log error three; log-long 5000");
    for (level, text) in [("INFO", "one line"), ("WARN", "two"), ("ERROR", "three")] {
        let line = proxy.logged(text);
        assert!(line.contains(level) && line.contains("able"), "{line}");
        let id = line.split("id=").nth(1).unwrap_or_else(|| panic!("no id in {line}")).split_whitespace().next().unwrap();
        assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        proxy.access_line(|access| access.contains(id));
    }
    let long = proxy.logged("xxxx");
    assert_eq!(long.matches('x').count() - long.split("xxxx").next().unwrap().matches('x').count(), 4096);
}

#[test]
fn lines_beyond_the_rate_are_dropped_and_counted() {
    let app = Origin::echo();
    let proxy = Able::of(&app).start();
    run(&proxy, "log-many 1000");
    until("lines dropped", || {
        run(&proxy, "log info again");
        proxy.log().contains("lines dropped").then_some(())
    });
    let lines = proxy.log().lines().filter(|line| line.contains(" line ")).count();
    assert!((100..200).contains(&lines), "{lines}");
}

#[test]
fn what_no_metric_can_be_is_a_fault() {
    let app = Origin::echo();
    let proxy = Able::of(&app).start();
    assert_eq!(
        run(&proxy, "count asked hit 2; count asked miss 1; gauge held 7; observe took 3"),
        ["counted", "counted", "set", "observed"]
    );
    for wrong in ["count Asked hit 1", "count 9 hit 1", "gauge asked 1", "observe held 1"] {
        let response = told(&proxy, wrong);
        assert_eq!((response.status, response.reason()), (500, Some("plugin_trap")), "{wrong}");
    }
    assert_eq!(run(&proxy, "count asked hit 1"), ["counted"], "others go on");
}

#[test]
fn every_phase_may_use_them_and_the_exchange_goes_on() {
    let app = Origin::echo();
    let proxy = Able { told: "on-response = \"add near answers 1; secret TOKEN\"", ..Able::of(&app) }.start();
    let response = told(&proxy, "add near asked 1; pass");
    assert!(response.text().to_lowercase().contains("x-able: 1 | passed"), "{}", response.text());
    assert_eq!(response.header("x-able-response"), Some("1 | sesame"));
    assert_eq!(get(proxy.http(), "a.test", "/x").header("x-able-response"), Some("2 | sesame"));
    assert_eq!(get(proxy.http(), "a.test", "/plain/x").header("x-able-response"), None);
}
