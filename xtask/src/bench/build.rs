//! What is measured of ours: the binary as it is shipped, and the filters as a third party would build them.

use super::options::Options;
use super::proxies::Kind;
use super::scenario::Scenario;
use super::trouble::Trouble;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Built {
    pub proxy: PathBuf,
    /// A folder of `.wasm` files.
    pub guests: PathBuf,
}

const GUESTS: [&str; 2] = ["tag", "survey"];

fn root() -> &'static Path {
    // xtask/ stands in the repository.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's folder for this workspace.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

impl Built {
    /// Builds what the chosen proxies and scenarios need.
    pub fn make(options: &Options) -> Result<Self, Trouble> {
        let mut built = Self { proxy: PathBuf::new(), guests: target().join("bench/guests") };
        let ours = |binary: bool| options.proxies.iter().any(|proxy| proxy.kind == Kind::Portcullis && (!binary || proxy.binary.is_none()));
        if options.build_only || ours(true) {
            built.proxy = crate::dist::build().map_err(Trouble::Machine)?;
        }
        if options.build_only || (ours(false) && options.scenarios.iter().any(|scenario: &&Scenario| scenario.filters > 0)) {
            built.make_guests()?;
        }
        Ok(built)
    }

    fn make_guests(&self) -> Result<(), Trouble> {
        let target = self.guests.join("target");
        let arguments = ["build", "--release", "--target", "wasm32-wasip2", "--target-dir"].map(str::to_owned);
        let arguments = [arguments.as_slice(), &[target.display().to_string()]].concat();
        cargo(&root().join("xtask/bench/guests"), &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        for guest in GUESTS {
            let file = format!("{guest}.wasm");
            fs::copy(target.join("wasm32-wasip2/release").join(&file), self.guests.join(&file))?;
        }
        Ok(())
    }
}

fn cargo(dir: &Path, arguments: &[&str]) -> Result<(), Trouble> {
    eprintln!("cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Standard output is for the tables.
    let status = Command::new(cargo).args(arguments).current_dir(dir).stdout(std::io::stderr()).status()?;
    if status.success() { Ok(()) } else { Err(Trouble::Machine(format!("cargo {} failed in {}", arguments.join(" "), dir.display()))) }
}
