//! `cargo xtask wit`: makes the contract's metadata anew after a change in `wit/`. With `--ship`, what is new in `wit/` is noted as shipped
//! and may never change from then on: for releases.
//!
//! The tests that hold the two together do it, so that xtask itself needs no WIT tools.

use crate::run;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let ship = match arguments {
        [] => false,
        [ship] if ship == "--ship" => true,
        _ => return Err("takes nothing, or --ship".to_owned()),
    };
    run::run(run::cargo().args(["test", "--package", "portcullis-sdk", "--test", "contract"]).env("PORTCULLIS_WRITE", "1"))?;
    let mut shipped = run::cargo();
    shipped.args(["test", "--package", "portcullis-sdk", "--test", "shipped"]);
    if ship {
        shipped.env("PORTCULLIS_SHIP", "1");
    }
    run::run(&mut shipped)
}
