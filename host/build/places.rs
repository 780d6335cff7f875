//! Flags that keep the folders of a build out of what is built: the same sources make the same bytes wherever they are. For the bundled
//! plugins (`plugins.rs`) and for what is shipped (`cargo xtask dist | deb | container`). A plain `cargo build` leaves the proxy its paths.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For rustc, in a build of the repository at `root`.
pub fn flags(root: &Path) -> Vec<String> {
    let home = cargo_home();
    let mut renamed = vec![(root.to_path_buf(), "/portcullis".to_owned()), (home.clone(), "/cargo".to_owned())];
    // Folders of crates are named after the server that they came from, which may be a mirror.
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    renamed.extend(registries.map(|registry| (registry.path(), "/crates".to_owned())));
    renamed.extend(std_sources());
    renamed.iter().flat_map(|(folder, name)| both(folder, name)).collect()
}

/// The folder as it is called, and as it is where links have been followed: the second is where rustc runs, and gets into its modules' hashes.
fn both(folder: &Path, name: &str) -> impl Iterator<Item = String> {
    let real = fs::canonicalize(folder).ok().filter(|real| real != folder);
    [flag(folder, name)].into_iter().chain(real.map(|real| flag(&real, name)))
}

/// Of several that fit, rustc takes the last.
pub fn flag(folder: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", folder.display())
}

/// Where crates are unpacked.
pub fn cargo_home() -> PathBuf {
    let home = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    home("CARGO_HOME").or_else(|| home("HOME").map(|home| home.join(".cargo"))).unwrap_or_else(|| PathBuf::from(".cargo"))
}

/// Where rustup's component `rust-src` is, and its name where it is not: rustc writes the one or the other.
fn std_sources() -> Option<(PathBuf, String)> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    Some((Path::new(sysroot.trim()).join("lib/rustlib/src/rust"), std_name()?))
}

/// What stands for the sources of the compiler and of std in all that is built by Rust's own releases.
pub fn std_name() -> Option<String> {
    commit(&rustc(&["-vV"])?).map(|commit| format!("/rustc/{commit}"))
}

fn commit(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).filter(|commit| *commit != "unknown")
}

/// What it prints; nothing if it does not, which whoever needs it more will tell.
fn rustc(arguments: &[&str]) -> Option<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_two_folders_comes_last() {
        let flags = flags(Path::new("/some where/portcullis"));
        assert_eq!(flags[0], "--remap-path-prefix=/some where/portcullis=/portcullis");
        let at = |name: &str| flags.iter().position(|flag| flag.ends_with(name));
        assert!(at("=/cargo").is_some() && at("=/cargo") < at("=/crates"), "{flags:?}");
    }

    #[test]
    fn a_link_is_renamed_and_so_is_what_it_leads_to() {
        let folder = env::temp_dir().canonicalize().expect("a folder").join(format!("portcullis-places-{}", std::process::id()));
        let (real, link) = (folder.join("real"), folder.join("link"));
        fs::create_dir_all(&real).expect("made");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        let of = |folder: &Path| both(folder, "/name").collect::<Vec<_>>();
        assert_eq!(of(&link), [flag(&link, "/name"), flag(&real, "/name")]);
        assert_eq!(of(&real), [flag(&real, "/name")]);
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn std_has_the_name_that_rustc_gives_it() {
        assert_eq!(commit("rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\ncommit-hash: 59807616e1fa\n"), Some("59807616e1fa"));
        assert_eq!(commit("rustc 1.95.0\ncommit-hash: unknown\n"), None, "a distribution's");
    }
}
