//! Bundled plugins that decide more than a line of configuration says, one file each.

mod basic_auth;
mod bot_challenge;
mod cache_control;
mod cors;
mod forward_auth;
mod geo_header;
mod jwt;
mod maintenance;
mod rate_limit;
mod security_headers;

use portcullis_tests::{Origin, Proxy, proxy};

/// A plain site `a.test` whose chain is this, with all paths at `app`; and more tables.
fn chained(origin: &Origin, chain: &str, tables: &str) -> String {
    format!(
        "[site.\"a.test\"]\ntls = \"off\"\nchain = [{chain}]\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n{tables}\n",
        origin.name()
    )
}

fn start(origin: &Origin, chain: &str, tables: &str) -> Proxy {
    Proxy::start(&chained(origin, chain, tables))
}

/// What a command says about a configuration, and whether it is content.
fn said(config: &str, arguments: &[&str]) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("portcullis.toml"), proxy::complete(config)).unwrap();
    let output = proxy::run(dir.path(), arguments);
    (format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)), output.status.success())
}

/// What `check` says, which is no.
fn refused(origin: &Origin, chain: &str, tables: &str) -> String {
    let (text, content) = said(&chained(origin, chain, tables), &["check"]);
    assert!(!content, "{text}");
    text
}
