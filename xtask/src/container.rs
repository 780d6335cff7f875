//! `cargo xtask container`: the image of host/packaging/Containerfile with a proxy that was built here. Its first stage, and so an image with Rust, is not
//! needed then: nothing is fetched from a registry of images.

use crate::{package, run, shipped};
use std::fs;
use std::process::Command;

/// What can build it, in the order in which they are looked for.
const BUILDERS: [&str; 2] = ["podman", "buildah"];

/// `--profile NAME`; `dist` unless said.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let built = package::proxy(arguments)?;
    let there = |builder: &&str| run::read(Command::new(builder).arg("--version")).is_ok();
    let builder =
        BUILDERS.into_iter().find(there).ok_or("neither podman nor buildah is here; as root, `apt-get install podman` brings one")?;
    let folder = run::root().join("target/container");
    let _earlier = fs::remove_dir_all(&folder);
    let packaging = run::root().join("host/packaging");
    // `build` is what the first stage is called, and `image` what it makes.
    run::run(Command::new(packaging.join("root.sh")).arg(built).arg(folder.join("image")))?;
    let tag = format!("portcullis:{}", env!("CARGO_PKG_VERSION"));
    let mut build = Command::new(builder);
    // Nothing of it is built again from layers.
    build.args(["build", "--layers=false", "--timestamp", &shipped::time()?, "--build-context"]).arg(format!("build={}", folder.display()));
    build.args(["--tag", &tag, "--tag", "portcullis:latest", "--file"]).arg(packaging.join("Containerfile")).arg(run::root());
    run::run(&mut build)
}
