//! Whose plugins are run: signatures, and registries.

mod registry;
mod signatures;

use portcullis_tests::{Origin, Proxy, get_with, proxy, tools};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A directory with a component: `light.wasm`.
fn with_plugin() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(tools::guest("light"), dir.path().join("light.wasm")).unwrap();
    dir
}

/// A site `a.test` whose requests go through the plugin that `plugin` (TOML of `[plugin.light]`) declares.
fn site(app: &Origin, plugin: &str) -> String {
    format!(
        "[plugin.light]\n{plugin}\n[site.\"a.test\"]\ntls = \"off\"\nchain = [\"light\"]\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\n",
        app.name()
    )
}

/// The plugin runs: it marks what it sees.
fn runs(proxy: &Proxy) {
    let response = get_with(proxy.http(), "a.test", "/", "User-Agent: test\r\n");
    assert!(response.text().contains("x-filter-tag: seen-by-filter-1"), "{}", response.text());
}

/// Runs the binary in `dir` to its end: whether all was well, and everything that it said.
fn command(dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = proxy::run(dir, arguments);
    (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// `check` on this configuration.
fn check(dir: &Path, config: &str) -> (bool, String) {
    std::fs::write(dir.join("portcullis.toml"), proxy::complete(config)).unwrap();
    command(dir, &["check"])
}

/// `run` on a configuration that it must refuse.
fn refused(dir: &Path, config: &str) -> String {
    std::fs::write(dir.join("portcullis.toml"), proxy::complete(config)).unwrap();
    let (well, text) = command(dir, &["run"]);
    assert!(!well, "{text}");
    text
}

/// A key pair of minisign: `<name>.pub` and `<name>.key`; gives the public key.
fn key(dir: &Path, name: &str) -> String {
    let program = tools::need("minisign", "minisign");
    let made = Command::new(program)
        .current_dir(dir)
        .args(["-G", "-f", "-W", "-p", &format!("{name}.pub"), "-s", &format!("{name}.key")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = std::fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

/// Signs `file` with `<name>.key`: `<file>.minisig`.
fn sign(dir: &Path, name: &str, file: &str, more: &[&str]) {
    let program = tools::need("minisign", "minisign");
    let mut sign = Command::new(program);
    sign.current_dir(dir).args(["-S", "-s", &format!("{name}.key"), "-m", file]).args(more);
    let signed = sign.output().unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
}
