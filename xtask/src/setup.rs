//! `cargo xtask setup`: what a fresh machine with a Rust toolchain still lacks.

use crate::wasm_target;
use std::path::Path;

/// `--debian-into DIR` tries the way without rustup, into a folder that no toolchain looks into.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => wasm_target::ensure(),
        [flag, folder] if flag == "--debian-into" => wasm_target::from_debian(Path::new(folder)),
        _ => Err("takes nothing, or --debian-into DIR".to_owned()),
    }
}
