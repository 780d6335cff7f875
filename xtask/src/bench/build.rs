//! What is measured of ours: the binary as it is shipped, and the filters as a third party would build them.

use super::options::Options;
use super::proxies::Kind;
use super::scenario::{Load, Scenario};
use super::trouble::Trouble;
use crate::{run, wasm_target};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

pub struct Built {
    pub proxy: PathBuf,
    /// A folder of `.wasm` files.
    pub guests: PathBuf,
}

const GUESTS: [&str; 2] = ["tag", "survey"];

/// The client of the handshake scenarios.
pub fn handshakes() -> PathBuf {
    target().join("debug/handshakes")
}

/// Cargo's folder for this workspace.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), |dir| run::root().join(dir))
}

impl Built {
    /// Builds what the chosen proxies and scenarios need.
    pub fn make(options: &Options) -> Result<Self, Trouble> {
        let mut built = Self { proxy: PathBuf::new(), guests: target().join("bench/guests") };
        let ours = |binary: bool| options.proxies.iter().any(|proxy| proxy.kind == Kind::Portcullis && (!binary || proxy.binary.is_none()));
        if options.build_only || ours(false) {
            wasm_target::ensure().map_err(Trouble::Machine)?;
        }
        if options.build_only || ours(true) {
            built.proxy = crate::dist::build().map_err(Trouble::Machine)?;
        }
        if options.build_only || (ours(false) && options.scenarios.iter().any(|scenario: &&Scenario| scenario.filters > 0)) {
            built.make_guests()?;
        }
        if options.build_only || options.scenarios.iter().any(|scenario| matches!(scenario.load, Load::Handshake(_))) {
            // Not optimised more than dependencies are for tests: those have been built already, and its time is not measured.
            cargo(run::cargo().args(["build", "--locked", "--package", "portcullis-handshakes"]))?;
        }
        Ok(built)
    }

    fn make_guests(&self) -> Result<(), Trouble> {
        let target = self.guests.join("target");
        let mut build = run::cargo();
        build.args(["build", "--release", "--target", wasm_target::TARGET, "--target-dir"]).arg(&target);
        cargo(build.current_dir(run::root().join("xtask/bench/guests")))?;
        for guest in GUESTS {
            let file = format!("{guest}.wasm");
            fs::copy(target.join(wasm_target::TARGET).join("release").join(&file), self.guests.join(&file))?;
        }
        Ok(())
    }
}

fn cargo(cargo: &mut Command) -> Result<(), Trouble> {
    // Standard output is for the tables.
    run::run(cargo.stdout(std::io::stderr())).map_err(Trouble::Machine)
}
