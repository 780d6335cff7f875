//! `cargo xtask bundle DIR`: the bundled plugins as files, for building the proxy where the Wasm target cannot be had.

use crate::{run, wasm_target};
use std::fs;
use std::path::Path;

/// As in `host/build.rs`, which says why.
const STACK: &str = "-Clink-arg=-zstack-size=65536";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let [folder] = arguments else { return Err("takes the folder to build into".to_owned()) };
    wasm_target::ensure()?;
    let target_dir = run::root().join("target/plugins");
    let plugins = plugins()?;
    let mut cargo = run::cargo();
    cargo.args(["build", "--locked", "--lib", "--profile", "plugin", "--target", wasm_target::TARGET, "--target-dir"]).arg(&target_dir);
    cargo.args(plugins.iter().flat_map(|plugin| ["--package".to_owned(), format!("plugin-{plugin}")]));
    run::run(cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", STACK))?;
    let folder = Path::new(folder);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for plugin in plugins {
        let built = target_dir.join(wasm_target::TARGET).join("plugin").join(format!("plugin_{}.wasm", plugin.replace('-', "_")));
        let size = fs::copy(&built, folder.join(format!("{plugin}.wasm"))).map_err(|error| format!("{}: {error}", built.display()))?;
        println!("{size:8} {plugin}.wasm");
    }
    Ok(())
}

/// The folders under `plugins/`, sorted.
fn plugins() -> Result<Vec<String>, String> {
    let folder = run::root().join("plugins");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let folders = entries.flatten().filter(|entry| entry.path().join("Cargo.toml").exists());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
