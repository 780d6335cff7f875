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
    memory.variables.insert("GOLDEN_TOKEN".into(), "a token that nobody guesses".replace(" ", "-"));
    memory.variables.insert("GOLDEN_REDIS".into(), "redis://:password@127.0.0.1:6379/1".into());
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
    Code::CaEmpty,
    Code::CertificateUnreadable,
    Code::LocalCa,
    Code::AcmeState,
    Code::TicketKeys,
    Code::PluginUnreadable,
    Code::NotGranted,
    Code::SettingsRefused,
    Code::PhaseMissing,
    Code::StoreUnusable,
    Code::Unfetched,
    Code::PortTaken,
    Code::Unreachable,
    Code::PeerRefused,
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
    links_meaning(&mut out, &config.listen.chain);
    let default = Limits::default();
    for limit in limits_table::LIMITS {
        let amount = (limit.read)(&config.limits);
        if amount != (limit.read)(&default) {
            let _ = writeln!(out, "limit {} {amount:?}", limit.key);
        }
    }
    if !config.listen.proxy_protocol.is_empty() {
        let _ = writeln!(out, "proxy-protocol {:?}", config.listen.proxy_protocol);
    }
    for (name, upstream) in &config.upstreams {
        let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
        let _ =
            writeln!(out, "upstream {name} {} {:?} pool {:?} at {}", servers.join(" "), upstream.balance, upstream.pool_idle, upstream.at);
        if upstream.protocol != Protocol::Http1 {
            let _ = writeln!(out, "  protocol {}", upstream.protocol.as_str());
        }
        if let Some(version) = upstream.proxy_protocol {
            let _ = writeln!(out, "  proxy-protocol {version:?}");
        }
        if let Some(limits) = &upstream.limits {
            let _ = writeln!(out, "  {limits:?}");
        }
        if let Some(sticky) = &upstream.sticky {
            let _ = writeln!(out, "  {sticky:?}");
        }
        if let Some(health) = &upstream.health {
            let _ = writeln!(out, "  {health:?}");
        }
        if let Some(tls) = &upstream.tls {
            let _ = writeln!(out, "  {tls:?}");
        }
    }
    for tcp in &config.tcp {
        let _ = writeln!(out, "tcp {:?} {:?} → {:?} idle {:?} at {}", tcp.addresses, tcp.tls, tcp.to, tcp.idle, tcp.at);
        if !tcp.proxy_protocol.is_empty() {
            let _ = writeln!(out, "  proxy-protocol {:?}", tcp.proxy_protocol);
        }
        for route in &tcp.sni {
            let _ = writeln!(out, "  {} {:?} → {} at {}", route.name, route.alpn, route.to, route.at);
        }
        links_meaning(&mut out, &tcp.chain);
    }
    for (name, plugin) in &config.plugins {
        let _ = writeln!(
            out,
            "plugin {name} {:?} {:?} {:?} {}",
            plugin.source,
            plugin.limits,
            plugin.isolation.unwrap_or_default(),
            plugin.remember
        );
        let _ = writeln!(out, "  {:?} pinned {} at {} {}", plugin.fail, plugin.sha256.is_some(), plugin.at, plugin.source_at);
        for key in &plugin.signed_by {
            let _ = writeln!(out, "  signed by {key} at {}", key.at);
        }
        if let Some(signature) = &plugin.signature {
            let _ = writeln!(out, "  signature {}", signature.display());
        }
        if plugin.allow != Allow::default() {
            let _ = writeln!(out, "  {:?}", plugin.allow);
        }
    }
    for (component, spec) in &config.services {
        let _ = writeln!(out, "service {component} {:?} {:?}", spec.source, spec.limits);
        let _ = writeln!(out, "  {:?} at {} {}", spec.allow, spec.at, spec.source_at);
    }
    if let Some(admin) = &config.admin {
        let _ = writeln!(out, "admin {admin:?}");
    }
    if let Some(observe) = &config.observe {
        let _ = writeln!(out, "observe {observe:?}");
    }
    for (name, store) in &config.stores {
        let _ = writeln!(out, "store {name} {:?} at {}", store.backend, store.at);
    }
    for name in config.secrets.keys() {
        let _ = writeln!(out, "secret {name}");
    }
    for site in &config.sites {
        let names: Vec<String> = site.names().map(ToString::to_string).collect();
        let _ = writeln!(out, "site {} {:?} at {}", names.join(" = "), site.tls, site.at);
        if let Some(client) = &site.client {
            let _ = writeln!(out, "  {client:?}");
        }
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
    if route.retry != RetrySpec::default() {
        let _ = writeln!(out, "    {:?}", route.retry);
    }
    if let Some(mirror) = &route.mirror {
        let _ = writeln!(out, "    {mirror:?}");
    }
    if let Some(injected) = &route.injected {
        let _ = writeln!(out, "    {injected:?}");
    }
    if route.timeouts != RouteTimeouts::default() {
        let _ = writeln!(out, "    {:?}", route.timeouts);
    }
    links_meaning(out, &route.chain);
}

fn links_meaning(out: &mut String, links: &[LinkSpec]) {
    for link in links {
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

/// A configuration that many would have: one site each for 10,000 names, links inherited from the server.
fn many_sites(count: usize) -> String {
    let mut text = String::from("[server]\nchain = [\"request-id\", { use = \"headers\", response = { set = { x-a = \"1\" } } }]\n");
    for n in 0..count {
        let _ = write!(
            text,
            "\n[site.\"s{n}.example.com\"]\ntls = {{ cert = \"{n}.pem\", key = \"{n}.key\" }}\n\n[site.\"s{n}.example.com\".routes]\n\"/*\" = \"u{n}\"\n\
             \"/api/*\" = {{ to = \"u{n}\", strip = \"/api\", timeout = \"30s\" }}\n\n[upstream.u{n}]\nservers = [\"10.0.0.1:8080\", \"10.0.0.2:8080\"]\n"
        );
    }
    text
}

#[test]
fn ten_thousand_sites_load_quickly() {
    let text = many_sites(10_000);
    let start = std::time::Instant::now();
    let (config, report) = Config::parse(&[("many.toml", &text)]).unwrap_or_else(|report| panic!("{}", report.summary()));
    let took = start.elapsed();
    println!("{} lines, {} KiB: {took:?}", text.lines().count(), text.len() >> 10);
    assert_eq!((config.sites.len(), config.upstreams.len(), report.diagnostics().len()), (10_000, 10_000, 0));
    // Ten times what an optimised build takes on a slow shared core: only a change of order fails here.
    assert!(took.as_secs() < 10, "{took:?}");
}

#[test]
fn ten_thousand_mistakes_are_shown_quickly() {
    let text = many_sites(2_000)
        .replace("servers =", "serverz =")
        .replace("\"30s\"", "\"30x\"")
        .replace("[server]", "[server]\nworkers = 0\nworkers = 0");
    let start = std::time::Instant::now();
    let report = Config::parse(&[("many.toml", &text)]).expect_err("mistakes");
    assert!(report.errors() > 4_000 && report.text().len() > 100_000);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn a_file_that_is_not_there_is_said_without_a_place() {
    let report = load(Path::new("/nonexistent/portcullis.toml")).expect_err("no file");
    let text = report.text();
    assert!(text.starts_with("error[E007]: cannot read `/nonexistent/portcullis.toml`: "), "{text}");
    assert_eq!(report.json()[0]["line"], serde_json::Value::Null);
}

#[test]
fn chains_of_chains_do_not_grow_without_bound() {
    let mut text = String::from("[chain]\nc0 = [\"request-id\", \"request-id\"]\n");
    for n in 1..30 {
        let _ = writeln!(text, "c{n} = [\"@c{}\", \"@c{}\"]", n - 1, n - 1);
    }
    text.push_str("[site.localhost]\nchain = [\"@c29\"]\nroutes = { \"/*\" = { respond = 200 } }\n");
    let report = Config::parse(&[("a.toml", &text)]).expect_err("too many links");
    assert!(report.diagnostics().iter().all(|found| found.code == Code::Conflict), "{}", report.text());
}

#[test]
fn files_on_disk_are_found_relative_to_the_file_that_names_them() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    std::fs::create_dir(folder.path().join("sites")).expect("writable");
    write("main.toml", "include = [\"sites/*.toml\", \"sites/a.toml\"]\n[upstream]\napp = \"h:1\"\n");
    write("sites/a.toml", "[site.\"a.test\"]\nroutes = { \"/*\" = \"app\" }\ntls = { cert = \"a.pem\", key = \"a.key\" }\n");
    write("sites/.hidden.toml", "nonsense");
    let (config, _) = load(&folder.path().join("main.toml")).unwrap_or_else(|report| panic!("{}", report.text()));
    let TlsSpec::Files(files) = &config.sites[0].tls else { panic!("{:?}", config.sites[0].tls) };
    assert_eq!(files.cert, folder.path().join("sites/a.pem"));
}

/// A key that is described but never asked for would be accepted and ignored.
#[test]
fn every_described_key_is_read() {
    let raw = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/raw");
    let files = [raw.clone(), raw.join("cases")].into_iter().flat_map(|folder| std::fs::read_dir(folder).expect("readable"));
    let files = files.map(|entry| entry.expect("readable").path()).filter(|path| path.is_file());
    let source: String = files.map(|path| std::fs::read_to_string(path).expect("UTF-8")).collect();
    let described = [
        &keys::ROOT,
        &keys::SERVER_TABLE,
        &keys::LISTEN_TABLE,
        &keys::PLUGIN,
        &keys::GUEST_LIMITS,
        &keys::FAIL_TABLE,
        &keys::LINK,
        &keys::WHEN,
        &keys::MATCH,
        &keys::SITE,
        &keys::TLS,
        &keys::CLIENT_CERTS,
        &keys::ROUTE,
        &keys::RESPOND,
        &keys::TIMEOUT,
        &keys::HEADERS,
        &keys::HEADER_EDITS,
        &keys::SECRET,
        &keys::UPSTREAM,
        &keys::POOL,
        &keys::TRUST,
        &keys::KEY_FILE,
        &keys::UPSTREAM_TLS,
        &keys::ACCEPT,
        &keys::TCP,
        &keys::TCP_TLS,
        &keys::SNI_ENTRY,
        &keys::TCP_TIMEOUT,
        &keys::CASES,
        &keys::CASE_PLUGIN,
        &keys::CANNED,
        &keys::CASE,
        &keys::THEN,
        &keys::REQUEST,
        &keys::RESPONSE,
        &keys::EXPECT,
        &keys::RETRY,
        &keys::UPSTREAM_SERVER,
        &keys::UPSTREAM_HEALTH,
        &keys::UPSTREAM_LIMITS,
        &keys::UPSTREAM_STICKY,
        &keys::ACCESS_LOG,
        &keys::OBSERVE,
        &keys::CONNECTION,
        &keys::EXPECT_CONNECTION,
        &keys::MADE_CHOICE,
        &keys::MADE_SERVER,
        &keys::EXPECT_BALANCE,
        &keys::MADE_ATTEMPT,
        &keys::EXPECT_ATTEMPT,
        &keys::MADE_DONE,
        &keys::MADE_TICK,
        &keys::EXPECT_AFTER,
    ];
    for key in described.iter().flat_map(|keys| keys.keys) {
        assert!(source.contains(&format!("\"{}\"", key.name)), "nothing reads `{}`", key.name);
    }
}

mod anything {
    use super::*;
    use proptest::prelude::*;

    /// Loads and shows; what counts is that nothing panics and that places lie within the text.
    fn try_it(text: &str) {
        let report = match Config::parse(&[("a.toml", text)]) {
            Ok((_, report)) | Err(report) => report,
        };
        let (shown, _) = (report.text(), report.json());
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
        let lines = text.split('\n').count() as u32 + 1;
        for place in report.diagnostics().iter().filter_map(|found| found.place.as_ref()) {
            assert!(place.at.line >= 1 && place.at.line <= lines && place.at.column >= 1, "{shown}");
        }
    }

    fn goldens() -> Vec<String> {
        files().files.into_iter().filter(|(path, _)| path.extension().is_some_and(|ext| ext == "toml")).map(|(_, text)| text).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn any_text(text in "\\PC{0,200}") {
            try_it(&text);
        }

        /// Our own examples with a piece cut out, doubled, or replaced.
        #[test]
        fn damaged_examples(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), length in 0usize..40, patch in "[\\[\\]{}\"'=.,@*~/a-z0-9ä\n\t\\\\-]{0,12}") {
            let goldens = goldens();
            let text = which.get(&goldens);
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            let end = (at + length).min(chars.len());
            let damaged: String = chars[..at].iter().copied().chain(patch.chars()).chain(chars[end..].iter().copied()).collect();
            try_it(&damaged);
        }

        /// Two examples in one file: sections that meet.
        #[test]
        fn joined_examples(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let goldens = goldens();
            try_it(&format!("{}\n{}", a.get(&goldens), b.get(&goldens)));
        }

        /// Every string that our small grammars take, at every place that takes one.
        #[test]
        fn any_string_anywhere(text in "\\PC{0,24}", short in "[-0-9a-z.:/%*~=\\[\\](){}\\\\+?|^$]{0,12}") {
            for text in [text, short] {
                let quoted = serde_json::to_string(&text).expect("JSON strings are TOML strings");
                try_it(&format!(
                    "[server]\ntrusted-proxies = {quoted}\n[listen]\nhttp = {quoted}\n[limits]\nstop = {quoted}\nh2-frame = {quoted}\nretry-budget = {quoted}\n\
                     [site.{quoted}]\ntls = {quoted}\nchain = [{quoted}]\nroutes = {{ {quoted} = {{ to = {quoted}, strip = {quoted}, priority = 1 }} }}\n\
                     [upstream]\na = {quoted}\n{quoted} = \"h:1\"\n[plugin.a]\nsource = {quoted}\nsha256 = {quoted}\n"
                ));
            }
        }
    }
}
