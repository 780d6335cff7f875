//! Programs that tests need: found, or installed from Debian's packages, or the test fails and says what is missing.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The repository's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the repository").to_path_buf()
}

/// The folder that holds the built binary: where this test itself was built.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a path");
    exe.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps").to_path_buf()
}

/// The proxy under test, built once for this test run.
pub fn portcullis() -> &'static PathBuf {
    // A failure is kept too: it must not be built again for each test.
    static BUILT: OnceLock<Result<PathBuf, &str>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("PORTCULLIS_BIN") {
            return Ok(PathBuf::from(given));
        }
        let mut cargo = Command::new(env!("CARGO"));
        // All of it, as it was built for this test: the proxy alone would have other features of shared crates, and wasmtime would be compiled twice.
        cargo.args(["build", "--quiet", "--workspace", "--bins", "--tests"]).current_dir(repository());
        if profile_dir().ends_with("release") {
            cargo.arg("--release");
        }
        if cargo.status().expect("cargo runs").success() { Ok(profile_dir().join("portcullis")) } else { Err("the proxy does not build") }
    });
    built.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// Makes sure that `program` can be run; `package` is Debian's name for it.
pub fn need(program: &str, package: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(found) = find(program) {
        return found;
    }
    let install = |args: &[&str]| Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output();
    let _ = install(&["install", "-y", "-qq", "--no-install-recommends", package]);
    if find(program).is_none() {
        let _ = install(&["update", "-qq"]);
        let _ = install(&["install", "-y", "-qq", "--no-install-recommends", package]);
    }
    find(program).unwrap_or_else(|| panic!("this test needs `{program}` (Debian package {package}) and could not install it"))
}

/// Python with `module`, which PyPI's `package` has: in a virtual environment beside the build, made once.
pub fn python_with(module: &str, package: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let environment = repository().join("target/python");
    let python = environment.join("bin/python");
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let works = || Command::new(&python).args(["-c", &format!("import {module}")]).output().is_ok_and(|out| out.status.success());
    if !works() {
        need("python3", "python3-venv");
        assert!(Command::new("python3").args(["-m", "venv"]).arg(&environment).status().expect("venv").success(), "python3 -m venv");
        let pip = Command::new(&python).args(["-m", "pip", "install", "-q", package]).status().expect("pip");
        assert!(pip.success() && works(), "pip install {package}");
    }
    python
}

/// What tests need of npm. All of it is installed at once: npm removes from the folder what it is not told of.
const FROM_NPM: [&str; 2] = ["playwright-core", "@grpc/grpc-js"];

/// The folder with npm's `package` in it, one of these: beside the build, made once. For `NODE_PATH`.
pub fn node_modules(package: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let place = repository().join("target/node");
    let modules = place.join("node_modules");
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !modules.join(package).join("package.json").exists() {
        need("node", "nodejs");
        let npm = need("npm", "npm");
        std::fs::create_dir_all(&place).expect("a folder");
        let installed =
            Command::new(npm).args(["install", "--silent", "--no-save", "--prefix"]).arg(&place).args(FROM_NPM).status().expect("npm");
        assert!(installed.success() && modules.join(package).join("package.json").exists(), "npm install {package}");
    }
    modules
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let extra = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A guest of `tests/guests`, built when it is not fresh: `behave`, `light`, `sockets`.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| build_wasm(&repository().join("tests/guests"), &repository().join("target/guests")))
        .join(format!("guest_{name}.wasm"))
}

/// Builds the components of a folder as its author would; the folder with the `.wasm` files.
pub fn build_wasm(folder: &std::path::Path, target: &std::path::Path) -> PathBuf {
    build_wasm_with(folder, target, &[])
}

/// The same, with more environment variables.
pub fn build_wasm_with(folder: &std::path::Path, target: &std::path::Path, environment: &[(&str, &str)]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // Flags meant for the machine we run on are not meant for guests.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS", "CARGO_TARGET_DIR"] {
        cargo.env_remove(flags);
    }
    cargo.envs(environment.iter().copied());
    let done = cargo.args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir"]).arg(target).current_dir(folder);
    assert!(done.status().expect("cargo runs").success(), "{} does not build", folder.display());
    target.join("wasm32-wasip2/release")
}
