//! The admin listener: metrics that Prometheus' own parsers read, in both formats, and what they say after traffic of every kind; health; the API.

mod api;
mod health;
mod numbers;

use portcullis_tests::{Raw, tools};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What was scraped.
pub struct Scrape(Vec<Value>);

/// Asks for the metrics and reads them as Prometheus does.
pub fn scrape(admin: SocketAddr, format: &str) -> Scrape {
    let accept = if format == "openmetrics" { "application/openmetrics-text; version=1.0.0, text/plain; q=0.5" } else { "text/plain" };
    let response = Raw::connect(admin)
        .send(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"))
        .response();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type").unwrap().contains("openmetrics"), format == "openmetrics");
    parse(&response.body, format)
}

fn parse(text: &[u8], format: &str) -> Scrape {
    let python = tools::python_with("prometheus_client", "prometheus_client");
    let script = tools::repository().join("tests/e2e/admin/parse.py");
    let mut child = Command::new(python).arg(script).arg(format).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{format}:\n{}", String::from_utf8_lossy(text));
    Scrape(serde_json::from_slice(&output.stdout).unwrap())
}

impl Scrape {
    /// The value of the sample with this name and these labels, and maybe others; all such added up. `None`: there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Value| sample["name"] == name && labels.iter().all(|(name, value)| sample["labels"][name] == *value);
        let found: Vec<f64> = self.0.iter().filter(fits).map(|sample| sample["value"].as_f64().unwrap()).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    pub fn type_of(&self, family: &str) -> Option<&str> {
        self.0.iter().find(|sample| sample["family"] == family)?["type"].as_str()
    }

    /// Names of samples with their labels, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.iter().map(|sample| format!("{}{}", sample["name"], sample["labels"])).collect();
        names.sort();
        names
    }
}

/// Scrapes until it is so.
pub fn until(admin: SocketAddr, what: &str, fits: impl Fn(&Scrape) -> bool) -> Scrape {
    // Installing it may take longer than what is waited for.
    tools::python_with("prometheus_client", "prometheus_client");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let scrape = scrape(admin, "prometheus");
        if fits(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < deadline, "never: {what} in {:#?}", scrape.0);
    }
}
