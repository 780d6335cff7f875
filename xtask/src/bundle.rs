//! `cargo xtask bundle DIR`: the bundled plugins as files, for building the proxy where the Wasm target cannot be had.

use crate::{run, wasm_target};
use std::fs;
use std::path::Path;

#[path = "../../host/build/plugins.rs"]
mod building;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let [folder] = arguments else { return Err("takes the folder to build into".to_owned()) };
    wasm_target::ensure()?;
    let target_dir = run::root().join("target/plugins");
    let plugins = plugins()?;
    for mut build in building::build(run::cargo, &run::root(), &plugins, &target_dir) {
        run::run(&mut build)?;
    }
    let folder = Path::new(folder);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for plugin in plugins {
        let built = building::built(&target_dir, &plugin);
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
