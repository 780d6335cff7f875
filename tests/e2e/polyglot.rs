//! Filters in other languages than Rust. Only the one in C is light enough for every run; `cargo xtask polyglot` has them all.

use portcullis_tests::{proxy, tools};
use std::path::Path;
use std::process::Command;

#[test]
fn a_filter_in_c_is_built_with_debians_clang_and_decides_as_its_cases_say() {
    tools::need("clang", "clang");
    if !Path::new("/usr/lib/wasm32-wasi/libc.a").exists() {
        // Whether it could be installed shows when it is used.
        let _ = Command::new("apt-get").args(["install", "-y", "-qq", "--no-install-recommends", "wasi-libc"]).status();
    }
    let folder = tools::repository().join("examples/polyglot");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mark.wasm");
    let built = Command::new(folder.join("c/build.sh")).arg(&file).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let (file, cases) = (file.to_str().unwrap(), folder.join("cases.toml"));
    let inspected = proxy::run(dir.path(), &["plugin", "inspect", file]);
    let said = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(said.contains("mark-c 0.1.0") && said.contains("wit-bindgen-c") && !said.contains("wasi:"), "{said}");
    let tested = proxy::run(dir.path(), &["plugin", "test", file, cases.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success() && said.contains("4 passed, 0 failed"), "{said}");
}
