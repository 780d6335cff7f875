//! How the bundled plugins are built, for `host/build.rs`, which embeds them, and `cargo xtask bundle`, which writes them to files.

use crate::places;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TARGET: &str = "wasm32-wasip2";

/// With the default of 1 MiB at the start of memory, a fresh guest touches pages far from each other. Enough for a regular expression
/// nested as deeply as `rewrite` allows.
const STACK: &str = "-Clink-arg=-zstack-size=65536";

/// Those that need std, and keep the usual stack of 1 MiB: zstd's encoder puts its tables there. One call of cargo builds the SDK once, with the features of all that use it, so they are built by themselves.
const WITH_STD: [&str; 1] = ["compress"];

/// `cargo`, made anew each time, told to build these plugins of the workspace at `root` into `target_dir`.
pub fn build<P: AsRef<str>>(cargo: impl Fn() -> Command, root: &Path, plugins: &[P], target_dir: &Path) -> Vec<Command> {
    let (with, without): (Vec<&str>, Vec<&str>) = plugins.iter().map(AsRef::as_ref).partition(|plugin| WITH_STD.contains(plugin));
    let groups = [(without, false), (with, true)].into_iter().filter(|(group, _)| !group.is_empty());
    groups.map(|(group, std)| of_a_kind(cargo(), root, (&group, std), target_dir)).collect()
}

fn of_a_kind(mut cargo: Command, root: &Path, (plugins, std): (&[&str], bool), target_dir: &Path) -> Command {
    // `--locked`: the outer cargo has just settled the lock file, and everything in it that plugins need the proxy needs too.
    cargo.args(["build", "--locked", "--lib", "--profile", "plugin", "--target", TARGET]);
    cargo.args(plugins.iter().flat_map(|plugin| ["--package".to_owned(), format!("plugin-{plugin}")]));
    cargo.arg("--target-dir").arg(own(target_dir, std)).arg("--manifest-path").arg(root.join("Cargo.toml"));
    clear_environment(&mut cargo);
    let mut flags = places::flags(root);
    flags.extend((!std).then(|| STACK.to_owned()));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    cargo
}

/// Where `build` leaves a plugin.
pub fn built(target_dir: &Path, plugin: &str) -> PathBuf {
    let folder = own(target_dir, WITH_STD.contains(&plugin)).join(TARGET).join("plugin");
    folder.join(format!("plugin_{}.wasm", plugin.replace('-', "_")))
}

/// Two kinds, two folders: where flags rename folders, cargo does not tell files apart by flags, and would build what both share again and again.
fn own(target_dir: &Path, std: bool) -> PathBuf {
    if std { target_dir.join("with-std") } else { target_dir.to_path_buf() }
}

/// Takes away what the outer cargo (or clippy, or a coverage tool) set for the proxy and what would change the plugins.
fn clear_environment(cargo: &mut Command) {
    let kept = |name: &str| {
        let ours = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_TERM_COLOR"];
        let network = ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRY_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
        ours.contains(&name) || network.iter().any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let cargo_s = name.starts_with("CARGO") && !kept(name);
        if cargo_s
            || ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC", "RUSTDOC", "RUSTC_WORKSPACE_WRAPPER", "TARGET", "HOST", "PROFILE"].contains(&name)
        {
            cargo.env_remove(name);
        }
    }
}
