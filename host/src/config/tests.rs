//! Golden files: each `golden/<code>-<what>.toml` with the text it must give, and `ok-*.toml` with what it must mean.
//! `UPDATE_GOLDEN=1 cargo test -p portcullis --lib config::` writes the expectations anew; read the diff before committing it.

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/golden")
}

/// Every golden file, by its name in the folder; those in sub-folders are there to be included.
fn files() -> Memory {
    let mut memory = Memory::default();
    memory.variables.insert("GOLDEN_KEY".into(), "from the environment".into());
    let mut open = vec![folder()];
    while let Some(next) = open.pop() {
        for path in std::fs::read_dir(next).expect("golden folder").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder()).expect("below it").to_path_buf();
                memory.files.insert(name, std::fs::read_to_string(path).expect("UTF-8"));
            }
        }
    }
    memory
}

fn cases(memory: &Memory) -> Vec<String> {
    let top = memory.files.keys().filter_map(|path| path.to_str()).filter(|name| !name.contains('/'));
    top.filter_map(|name| name.strip_suffix(".toml")).map(str::to_owned).collect()
}

fn outcome(case: &str, memory: &Memory) -> (String, Report) {
    match load_from(Path::new(&format!("{case}.toml")), memory) {
        Ok((config, report)) => (format!("{}{}", report.text(), meaning(&config)), report),
        Err(report) => (report.text(), report),
    }
}

#[test]
fn golden_files_give_what_is_expected() {
    let memory = files();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases(&memory) {
        let (text, report) = outcome(&case, &memory);
        let path = folder().join(format!("{case}.expected"));
        if update {
            std::fs::write(&path, &text).expect("writable");
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("--- {case} now gives:\n{text}"));
        }
        let (code, _) = case.split_once('-').expect("named <code>-<what>");
        let raised = report.diagnostics().iter().any(|found| found.code.to_string().to_lowercase() == code);
        assert!(raised || code == "ok", "{case} does not raise its code:\n{text}");
        assert!(code != "ok" || report.errors() == 0, "{case}:\n{text}");
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 accepts these", wrong.join("\n"));
}

/// Codes that other rooms raise, when they read certificates, components and sockets; constructors in `raised`.
const ELSEWHERE: &[Code] = &[
    Code::KeyMismatch,
    Code::NotCovered,
    Code::Expired,
    Code::CertificateUnreadable,
    Code::PluginUnreadable,
    Code::NotGranted,
    Code::SettingsRefused,
    Code::PhaseMissing,
    Code::PortTaken,
];

#[test]
fn every_code_of_the_text_has_a_golden_file() {
    let memory = files();
    let with: BTreeSet<String> = cases(&memory).iter().filter_map(|case| Some(case.split_once('-')?.0.to_uppercase())).collect();
    for code in Code::ALL.iter().filter(|code| !ELSEWHERE.contains(code)) {
        assert!(with.contains(&code.to_string()), "{code} has no golden file");
    }
}

#[test]
fn json_has_the_same_findings() {
    let memory = files();
    for case in cases(&memory) {
        let (_, report) = outcome(&case, &memory);
        let json = report.json();
        let list = json.as_array().expect("a list");
        assert_eq!(list.len(), report.diagnostics().len());
        for (found, json) in report.diagnostics().iter().zip(list) {
            assert_eq!(json["code"], found.code.to_string());
            assert_eq!(json["line"].as_u64(), found.place.as_ref().map(|place| place.at.line.into()));
        }
    }
}

/// A configuration as lines, for comparison; what equals the default is left out.
fn meaning(config: &Config) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "server {:?}", config.server);
    for (scheme, list) in [("https", &config.listen.https), ("http", &config.listen.http)] {
        for (address, at) in list {
            let _ = writeln!(out, "{scheme} {address} {}", at.as_ref().map_or("by default".into(), |at| at.to_string()));
        }
    }
    let default = Limits::default();
    for limit in limits_table::LIMITS {
        let amount = (limit.read)(&config.limits);
        if amount != (limit.read)(&default) {
            let _ = writeln!(out, "limit {} {amount:?}", limit.key);
        }
    }
    for (name, upstream) in &config.upstreams {
        let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(out, "upstream {name} {} {:?} pool {:?} at {}", servers.join(" "), upstream.balance, upstream.pool_idle, upstream.at);
    }
    for (name, plugin) in &config.plugins {
        let _ = writeln!(out, "plugin {name} {:?} {:?} {:?}", plugin.source, plugin.limits, plugin.isolation);
        let _ = writeln!(out, "  {:?} pinned {} at {} {}", plugin.fail, plugin.sha256.is_some(), plugin.at, plugin.source_at);
    }
    for site in &config.sites {
        let _ = writeln!(out, "site {} {:?} at {}", site.name, site.tls, site.at);
        for route in &site.routes {
            route_meaning(&mut out, route);
        }
    }
    out
}

fn route_meaning(out: &mut String, route: &Route) {
    let to = route.to.as_ref().map_or("-".into(), ToString::to_string);
    let _ = writeln!(out, "  {} {:?} → {to} at {}", route.pattern, route.matches.path, route.at);
    let RouteMatch { path: _, methods, headers, query } = &route.matches;
    if !(methods.is_empty() && headers.is_empty() && query.is_empty()) {
        let _ = writeln!(out, "    match {methods:?} {headers:?} {query:?}");
    }
    if route.timeouts != RouteTimeouts::default() {
        let _ = writeln!(out, "    {:?}", route.timeouts);
    }
    for link in &route.chain {
        let _ = writeln!(out, "    link {} {:?} {:?} at {}", link.name, link.plugin, link.origin, link.at);
        if link.settings.as_object().is_some_and(|settings| !settings.is_empty()) {
            let _ = writeln!(out, "      {}", link.settings);
            for (pointer, at) in link.settings_at.iter().filter(|(pointer, _)| !pointer.starts_with('#')) {
                let _ = writeln!(out, "      {pointer:?} {at}");
            }
        }
        if let Some(when) = &link.when {
            let _ = writeln!(out, "      {when:?}");
        }
    }
}
