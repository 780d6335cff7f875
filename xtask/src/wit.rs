//! `cargo xtask wit`: makes the contract's metadata anew after a change in `wit/`.
//!
//! The test that holds the two together does it, so that xtask itself needs no WIT tools.

use crate::run;

pub fn run(_: &[String]) -> Result<(), String> {
    run::run(run::cargo().args(["test", "--package", "portcullis-sdk", "--test", "contract"]).env("PORTCULLIS_WRITE", "1"))
}
