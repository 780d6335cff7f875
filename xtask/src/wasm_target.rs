//! Makes `wasm32-wasip2` available to the toolchain in force.
//!
//! In this order: nothing, if its std is there; `rustup target add`; and where rustup's server cannot be reached, on Debian as root, std
//! built from the distribution's sources of the same version (about half a minute). Names no server: packages come from the
//! mirror that apt is set up with.

use crate::apt::{is_debian, is_root};
use crate::places;
use crate::run::{cargo, read, run, run_within};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const TARGET: &str = "wasm32-wasip2";

/// Releases that may have sources of the toolchain's version, the likeliest first.
const SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];

/// A download of some 20 MB; a server out of reach may also take the connection and say nothing.
const RUSTUP: Duration = Duration::from_secs(300);

/// # Errors
/// If none of the ways works; says what was tried.
pub fn ensure() -> Result<(), String> {
    let libraries = libraries()?;
    if has_std(&libraries) {
        eprintln!("{TARGET}: there");
        return Ok(());
    }
    let by_rustup = run_within(RUSTUP, Command::new("rustup").args(["target", "add", TARGET]));
    if by_rustup.is_ok() && has_std(&libraries) {
        eprintln!("{TARGET}: added by rustup");
        return Ok(());
    }
    let why = by_rustup.err().unwrap_or_else(|| "rustup added it to another toolchain than this one".to_owned());
    if !is_debian() || !is_root() {
        return Err(format!("{TARGET} is missing. {why}. The other way needs Debian and root"));
    }
    from_debian(&libraries).map_err(|error| format!("{TARGET} is missing. {why}. From Debian's sources: {error}"))
}

/// Builds std from Debian's sources into `libraries`.
///
/// # Errors
/// If Debian has no sources of this version, or anything on the way fails.
pub fn from_debian(libraries: &Path) -> Result<(), String> {
    let work = Work::new()?;
    let sources = download(&work.0)?;
    build(&sources, &work.0)?;
    install(&work.0, libraries)?;
    if !has_std(libraries) {
        return Err(format!("built, but {} has no std", libraries.display()));
    }
    eprintln!("{TARGET}: built from Debian's sources into {}", libraries.display());
    Ok(())
}

/// Where rustc looks for the target's libraries.
fn libraries() -> Result<PathBuf, String> {
    read(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET])).map(PathBuf::from)
}

fn has_std(libraries: &Path) -> bool {
    let entries = fs::read_dir(libraries).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.into_iter().any(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
}

/// A folder that goes when we are done.
struct Work(PathBuf);

impl Work {
    fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("portcullis-wasm-target-{}", std::process::id()));
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(Self(folder))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Left behind, it costs space in the temporary folder and nothing else.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Unpacks rust-src of the toolchain's version and wasi-libc below `work`; returns std's sources. Uses lists of its own, so that nothing about
/// the machine's apt changes.
fn download(work: &Path) -> Result<PathBuf, String> {
    let mirror = mirror()?;
    let sources: String = SUITES.iter().map(|suite| format!("deb {mirror} {suite} main\n")).collect();
    let config = format!(
        "Dir::Etc::sourcelist \"{0}/sources.list\";\nDir::Etc::sourceparts \"-\";\nDir::State::lists \"{0}/lists\";\n\
         Dir::Cache \"{0}/cache\";\nAPT::Sandbox::User \"root\";\n",
        work.display()
    );
    write(&work.join("sources.list"), &sources)?;
    write(&work.join("apt.conf"), &config)?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", work.join("apt.conf")).current_dir(work.join("packages"));
        command
    };
    run(apt("apt-get").args(["-qq", "update"]))?;

    let toolchain = toolchain_version()?;
    let versions = |package: &str| read(apt("apt-cache").args(["madison", package]));
    let (rust, libc) = (versions("rust-src")?, versions("wasi-libc")?);
    let rust = source_version(&rust, &toolchain).ok_or_else(|| format!("there is no rust-src {toolchain}"))?;
    let libc = libc_version(&libc).ok_or("there is no wasi-libc")?;
    run(apt("apt-get").args(["-qq", "download", &format!("rust-src={rust}"), &format!("wasi-libc={libc}")]))?;
    for package in files(&work.join("packages"), ".deb")? {
        run(Command::new("dpkg").arg("-x").args([&package, &work.join("unpacked")]))?;
    }
    let library =
        files(&work.join("unpacked/usr/src"), "")?.into_iter().map(|folder| folder.join("library")).find(|folder| folder.exists());
    library.ok_or_else(|| "rust-src has no library/".to_owned())
}

/// Of the package archive, as apt is set up.
fn mirror() -> Result<String, String> {
    let mut lists = files(Path::new("/etc/apt/sources.list.d"), "").unwrap_or_default();
    lists.insert(0, PathBuf::from("/etc/apt/sources.list"));
    let texts = lists.iter().filter_map(|list| fs::read_to_string(list).ok());
    let found = texts.into_iter().find_map(|text| mirror_in(&text).map(str::to_owned));
    found.ok_or_else(|| "apt has no Debian mirror set up".to_owned())
}

fn mirror_in(list: &str) -> Option<&str> {
    let lines = list.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    words.find(|word| word.starts_with("http") && word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

/// `1.95.0`
fn toolchain_version() -> Result<String, String> {
    let line = read(Command::new("rustc").arg("--version"))?;
    line.split_whitespace().nth(1).map(str::to_owned).ok_or_else(|| format!("{line}: no version"))
}

/// Of the lines of `apt-cache madison` (package | version | where), the first version of this upstream version.
fn source_version<'m>(madison: &'m str, upstream: &str) -> Option<&'m str> {
    versions(madison).find(|version| version.strip_prefix(upstream).is_some_and(|rest| rest.starts_with('+') || rest.starts_with('-')))
}

/// The stable release's, which wasip2 of any recent std links with; else the first.
fn libc_version(madison: &str) -> Option<&str> {
    let stable = madison.lines().find(|line| line.contains("bpo13") || line.contains("trixie"));
    versions(stable.unwrap_or(madison)).next()
}

fn versions(madison: &str) -> impl Iterator<Item = &str> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim)
}

/// std for the target, with the flags that the toolchain's own is built with.
fn build(library: &Path, work: &Path) -> Result<(), String> {
    let mut cargo = cargo();
    cargo.current_dir(library);
    cargo.args(["build", "--quiet", "--release", "--target", TARGET, "--features", "panic-unwind", "--manifest-path"]);
    cargo.arg(library.join("sysroot/Cargo.toml")).env("CARGO_TARGET_DIR", work.join("target"));
    // A stable compiler builds its own std, and what comes out is marked as std: unstable features in it are nobody else's. Without
    // its bitcode no plugin could be built with `lto`.
    let mut flags = ["-Zforce-unstable-if-unmarked", "-Cembed-bitcode=yes", "-Cdebuginfo=0"].map(str::to_owned).to_vec();
    // This folder goes when we are done; everywhere else, std's sources have the name.
    let sources = library.parent().unwrap_or(library);
    flags.extend(places::flags(sources));
    flags.extend(places::std_name().map(|name| places::flag(sources, &name)));
    cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env_remove("RUSTFLAGS");
    cargo.env("__CARGO_DEFAULT_LIB_METADATA", "stdwasm").env_remove("RUSTC_WORKSPACE_WRAPPER");
    run(&mut cargo)
}

fn install(work: &Path, libraries: &Path) -> Result<(), String> {
    let own = libraries.join("self-contained");
    fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
    for rlib in files(&work.join("target").join(TARGET).join("release/deps"), ".rlib")? {
        copy(&rlib, libraries)?;
    }
    for object in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        copy(&work.join("unpacked/usr/lib").join(TARGET).join(object), &own)?;
    }
    Ok(())
}

fn copy(file: &Path, folder: &Path) -> Result<(), String> {
    let name = file.file_name().ok_or_else(|| format!("{}: no file", file.display()))?;
    fs::copy(file, folder.join(name)).map(drop).map_err(|error| format!("{} to {}: {error}", file.display(), folder.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What is in a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADISON: &str = " rust-src | 1.96.1+dfsg1-1 | http://mirror.test/debian sid/main amd64 Packages\n \
                           rust-src | 1.95.0+dfsg1-1~bpo13+1 | http://mirror.test/debian trixie-backports/main amd64 Packages\n";

    #[test]
    fn sources_are_of_the_toolchain_s_version() {
        assert_eq!(source_version(MADISON, "1.95.0"), Some("1.95.0+dfsg1-1~bpo13+1"));
        assert_eq!(source_version(MADISON, "1.95"), None, "1.95 is not 1.95.0");
        assert_eq!(source_version(MADISON, "1.9"), None);
    }

    #[test]
    fn the_stable_libc_is_preferred() {
        let madison = " wasi-libc | 9 | http://mirror.test/debian sid/main all Packages\n wasi-libc | 7 | http://mirror.test/debian trixie/main all Packages\n";
        assert_eq!(libc_version(madison), Some("7"));
        assert_eq!(libc_version(&madison[..madison.find('\n').expect("two lines")]), Some("9"));
        assert_eq!(libc_version(""), None);
    }

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        assert_eq!(
            mirror_in("# deb http://old.test/debian x\ndeb [arch=amd64] http://mirror.test/debian trixie main"),
            Some("http://mirror.test/debian")
        );
        assert_eq!(mirror_in("Types: deb\nURIs: https://mirror.test/debian/\nSuites: trixie\n"), Some("https://mirror.test/debian/"));
        assert_eq!(mirror_in("URIs: http://mirror.test/debian-security\n"), None);
    }
}
