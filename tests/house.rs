//! The house rules that a compiler does not know: which room may name which, read from the source.
//!
//! A failure names file:line, the rule and its reason. The table is the one in README.md and `host/src/lib.rs`; change all three
//! in the commit that changes an arrow.

use std::fs;
use std::path::{Path, PathBuf};

struct Room {
    name: &'static str,
    /// Our rooms that it may import.
    may: &'static [&'static str],
    /// Crates that it may name, of those in `WATCHED`.
    outside: &'static [&'static str],
}

/// Crates whose use says what a room is about. Others (bytes, http, serde …) are free.
const WATCHED: &[&str] = &[
    "wasmtime",
    "tokio",
    "hyper",
    "hyper_util",
    "rustls",
    "tokio_rustls",
    "rcgen",
    "toml",
    "clap",
    "httparse",
    "jsonschema",
    "socket2",
    "oci_client",
    "hickory_resolver",
    "ratatui",
    "wasmtime_wasi",
    "wasmtime_wasi_http",
];

const ARROWS: &[Room] = &[
    Room { name: "message", may: &[], outside: &["tokio"] }, // tokio's I/O traits only, see `only_io_traits`
    Room { name: "config", may: &[], outside: &["toml", "jsonschema"] },
    Room { name: "observe", may: &["message", "config", "wire"], outside: &["tokio", "hyper", "hyper_util"] },
    Room { name: "wire", may: &["message"], outside: &["tokio"] },
    Room {
        name: "certs",
        may: &["config", "observe", "wire"],
        outside: &["rustls", "rcgen", "tokio", "hyper", "hyper_util", "tokio_rustls"],
    }, // ACME talks to CAs
    Room { name: "trust", may: &["config"], outside: &["tokio", "rustls", "oci_client"] }, // asks registries for plugins
    Room { name: "import", may: &["config"], outside: &[] },
    Room { name: "chain", may: &["message", "config"], outside: &[] },
    Room {
        name: "sandbox",
        may: &["chain", "message", "config", "observe"],
        outside: &["wasmtime", "wasmtime_wasi", "wasmtime_wasi_http", "tokio"],
    },
    Room {
        name: "upstream",
        may: &["message", "config", "observe", "certs", "wire"],
        outside: &["tokio", "hyper", "rustls", "tokio_rustls", "socket2", "hickory_resolver"],
    },
    Room {
        name: "listen",
        may: &["message", "config", "observe", "certs", "wire"],
        outside: &["tokio", "hyper", "hyper_util", "rustls", "tokio_rustls", "socket2"],
    },
    Room { name: "proxy", may: &["chain", "upstream", "message", "config", "observe"], outside: &["tokio", "hyper"] },
    Room { name: "tunnel", may: &["chain", "upstream", "message", "config", "observe"], outside: &["tokio"] },
    Room {
        name: "app",
        may: &[
            "message", "config", "observe", "wire", "certs", "trust", "import", "chain", "sandbox", "upstream", "listen", "proxy",
            "tunnel", "admin",
        ],
        outside: &["tokio", "hyper", "hyper_util", "rustls", "socket2"],
    },
    Room { name: "admin", may: &["observe"], outside: &["tokio", "hyper", "hyper_util"] },
    Room { name: "cli", may: &["app", "config"], outside: &["clap", "ratatui"] },
];

fn host_source() -> PathBuf {
    // Not `../host/src`: with `tests` in the path every file would pass for a test file.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("host/src")
}

/// Every Rust file below `dir`, sorted.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if entry.extension().is_some_and(|ext| ext == "rs") {
                found.push(entry);
            }
        }
    }
    found.sort();
    found
}

/// The file's lines with numbers, comments and unit tests left out.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("readable");
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        lines.push((index + 1, code.to_owned()));
    }
    lines
}

/// Whether `word` stands in `code` as a path segment of its own, followed by `::`.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(&format!("{word}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn is_test_file(file: &Path) -> bool {
    let within = file.strip_prefix(host_source()).unwrap_or(file);
    file.file_name().is_some_and(|name| name == "tests.rs") || within.components().any(|part| part.as_os_str() == "tests")
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n{} house rules broken", broken.join("\n"), broken.len());
}

#[test]
fn rooms_import_only_along_the_arrows() {
    let mut broken = Vec::new();
    for room in ARROWS {
        for file in rust_files(&host_source().join(room.name)).iter().filter(|file| !is_test_file(file)) {
            for (line, code) in code_lines(file) {
                for other in ARROWS.iter().filter(|other| other.name != room.name && !room.may.contains(&other.name)) {
                    if names(&code, &format!("crate::{}", other.name)) {
                        broken.push(format!("{}:{line}: `{}` may not import `{}`", file.display(), room.name, other.name));
                    }
                }
                for foreign in WATCHED.iter().filter(|foreign| !room.outside.contains(foreign)) {
                    if names(&code, foreign) {
                        broken.push(format!("{}:{line}: `{}` may not name `{foreign}`", file.display(), room.name));
                    }
                }
            }
        }
    }
    report(broken);
}

#[test]
fn every_room_is_in_the_table() {
    for entry in fs::read_dir(host_source()).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = entry.file_stem().expect("named").to_string_lossy().into_owned();
        let known = ARROWS.iter().any(|room| room.name == name) || ["lib", "main"].contains(&&*name);
        assert!(known, "{}: no such room in tests/house.rs; give it a row with its arrows", entry.display());
    }
}

#[test]
fn message_names_only_tokio_s_io_traits() {
    let mut broken = Vec::new();
    for file in rust_files(&host_source().join("message")) {
        for (line, code) in code_lines(&file) {
            if code.replace("tokio::io::Async", "").contains("tokio") {
                broken.push(format!("{}:{line}: `message` knows no runtime; only tokio::io::Async* may be named", file.display()));
            }
        }
    }
    report(broken);
}

#[test]
fn only_failure_turns_an_error_into_a_status() {
    let mut broken = Vec::new();
    for file in rust_files(&host_source()) {
        // The admin listener answers for itself; exchanges never come there.
        let admin = file.starts_with(host_source().join("admin"));
        if admin || file.ends_with("proxy/failure.rs") || is_test_file(&file) {
            continue;
        }
        for (line, code) in code_lines(&file) {
            let error = [
                "BAD_REQUEST",
                "BAD_GATEWAY",
                "GATEWAY_TIMEOUT",
                "SERVICE_UNAVAILABLE",
                "INTERNAL_SERVER_ERROR",
                "REQUEST_TIMEOUT",
                "NOT_FOUND",
            ];
            if let Some(status) = error.iter().find(|status| code.contains(&format!("StatusCode::{status}"))) {
                broken.push(format!("{}:{line}: {status}: only proxy/failure.rs turns an error into a status", file.display()));
            }
        }
    }
    report(broken);
}

#[test]
fn files_open_with_their_purpose_and_stay_small() {
    const MOST: usize = 450;
    let mut broken = Vec::new();
    for file in rust_files(&host_source()) {
        let text = fs::read_to_string(&file).expect("readable");
        if !text.starts_with("//!") {
            broken.push(format!("{}:1: open with `//!`: what the file is for, and what it does not do", file.display()));
        }
        let lines = code_lines(&file).len();
        if lines > MOST && !is_test_file(&file) {
            broken.push(format!("{}: {lines} lines before tests; one file per idea, over {MOST} must be split", file.display()));
        }
        let name = file.file_stem().expect("named").to_string_lossy().into_owned();
        if ["util", "utils", "helper", "helpers", "common", "misc"].contains(&&*name) {
            broken.push(format!("{}: `{name}` means an idea has no home yet", file.display()));
        }
    }
    report(broken);
}

#[test]
fn sdk_and_host_share_only_the_contract() {
    for manifest in ["../sdk/Cargo.toml", "../sdk/macros/Cargo.toml", "../host/Cargo.toml"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest)).expect("readable");
        let other = if manifest.contains("host") { "portcullis-sdk" } else { "path = \"../host\"" };
        assert!(!text.contains(other), "{manifest}: sdk and host share only wit/");
    }
}
