//! `portcullis import`: what the other server answers, and what the imported configuration makes of the same requests. The other one runs, so its
//! configuration is a real one.

mod caddy;
mod nginx;

use portcullis_tests::{Proxy, Response, get_with, proxy};
use std::net::SocketAddr;
use std::path::Path;

/// The configuration, and what was not carried over.
fn import(from: &str, file: &Path) -> (String, Vec<String>) {
    let output = proxy::run(file.parent().unwrap(), &["import", from, file.file_name().unwrap().to_str().unwrap()]);
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!text.is_empty(), "{said}");
    let lost: Vec<String> = said.lines().filter(|line| !line.starts_with("not carried over: ")).map(str::to_owned).collect();
    assert_eq!(output.status.code(), Some(i32::from(!lost.is_empty())), "{said}");
    (text, lost)
}

/// Where what was not carried over stands: `nginx.conf:3`.
fn places(lost: &[String]) -> Vec<&str> {
    lost.iter().map(|line| line.split(": ").next().unwrap()).collect()
}

/// The configuration has all of these, however it is laid out.
fn holds(text: &str, parts: &[&str]) {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(flat(text).contains(part), "{part} in:\n{text}");
    }
}

/// `check` finds nothing wrong, and `fmt` nothing to do.
fn sound(text: &str, beside: &Path) {
    std::fs::write(beside.join("portcullis.toml"), with_state(text)).unwrap();
    let said = proxy::run(beside, &["check"]);
    assert!(said.status.success(), "{}\n{text}", String::from_utf8_lossy(&said.stdout));
    std::fs::write(beside.join("imported.toml"), text).unwrap();
    let said = proxy::run(beside, &["fmt", "--check", "imported.toml"]);
    assert!(said.status.success(), "{}\n{text}", String::from_utf8_lossy(&said.stdout));
}

/// The proxy on what was imported from a server at `address`.
fn serve(text: &str, address: SocketAddr) -> Proxy {
    let listens = format!("\"{address}\"");
    assert!(text.contains(&listens), "{text}");
    Proxy::start(&with_state(&text.replace(&listens, "\"127.0.0.1:0\"")))
}

/// State of its own.
fn with_state(text: &str) -> String {
    let server = "[server]\nstate = \"state\"\nworkers = 1\n";
    match text.split_once("[server]\n") {
        Some((before, after)) => format!("{before}{server}{after}"),
        None => format!("{server}{text}"),
    }
}

/// What counts of an answer: status, where it leads, fields that were set, and of what the origin echoed the request line and these fields.
fn seen(response: &Response, fields: &[&str], echoed: &[&str]) -> Vec<String> {
    let own = fields.iter().filter_map(|name| Some(format!("{name}: {}", response.header(name)?)));
    let text = response.text();
    // nginx speaks HTTP/1.0 unless it is told otherwise.
    let echo = text.lines().next().and_then(|line| line.split_once(" HTTP/1.")).map(|(line, _)| line.to_owned());
    let echoes = |line: &&str| echoed.iter().any(|name| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    let mut lines: Vec<String> = text.lines().filter(echoes).map(|line| line.to_ascii_lowercase()).collect();
    lines.sort();
    let body = echo.clone().or_else(|| (response.status == 200).then(|| text.trim().to_owned()));
    std::iter::once(response.status.to_string()).chain(own).chain(body).chain(lines).collect()
}

/// Asks both the same.
fn same(theirs: SocketAddr, ours: SocketAddr, host: &str, path: &str, fields: &str, echoed: &[&str]) {
    let of = |address: SocketAddr| {
        let response = get_with(address, host, path, fields);
        // Where a server names itself in a redirect, it is the port that differs; and leading to itself it need not name itself.
        let mut seen = seen(&response, &["location", "x-edge", "x-origin", "cache-control"], echoed);
        let own = format!("location: http://{host}");
        seen.iter_mut().for_each(|line| *line = line.replace(&format!(":{}", address.port()), "").replace(&own, "location: "));
        seen
    };
    assert_eq!(of(theirs), of(ours), "{host} {path}");
}
