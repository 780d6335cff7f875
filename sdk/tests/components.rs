//! Plugins built the way a third party builds them: they export the phases that were written, and import no more than they say.

mod inspect;

use inspect::Component;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A light plugin may be this large (issue 2).
const LIGHT: usize = 100 << 10;

/// Builds a package outside the workspace, with nothing but what README.md says. `name` is also its folder.
fn built(name: &str, features: &str, source: &str) -> Component {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nportcullis-sdk = {{ path = {sdk:?}, features = [{features}] }}\n\n[workspace]\n\n{}\n",
        profile(&fs::read_to_string(sdk.join("README.md")).expect("readable"))
    );
    fs::create_dir_all(folder.join("src")).expect("writable");
    fs::write(folder.join("Cargo.toml"), manifest).expect("writable");
    fs::write(folder.join("src/lib.rs"), source).expect("writable");
    // The versions that are already here, so that the test needs no network.
    fs::copy(sdk.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace's");
    let target_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("third-party");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--target", "wasm32-wasip2"]).current_dir(&folder).env("CARGO_TARGET_DIR", &target_dir);
    let output = cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n(without the target: cargo xtask setup)");
    assert!(!said.contains("warning: unused"), "an author's first build has no warnings:\n{said}");
    let file = target_dir.join("wasm32-wasip2/release").join(format!("{}.wasm", name.replace('-', "_")));
    Component::read(&fs::read(file).expect("built"))
}

/// The profile that README.md recommends.
fn profile(readme: &str) -> &str {
    let from = readme.find("[profile.release]").expect("in README.md");
    let len = readme[from..].find("```").expect("the block ends");
    &readme[from..from + len]
}

/// The plugin on the SDK's front page, without its test.
fn front_page() -> String {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("readable");
    let lines = source.lines().map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default());
    let block: Vec<&str> =
        lines.skip_while(|line| *line != "```").skip(1).take_while(|line| !line.starts_with("// And its test")).collect();
    block.join("\n")
}

const BARE: &str = "#![cfg_attr(target_family = \"wasm\", no_std)]\n";

#[test]
fn the_front_page_is_a_whole_plugin() {
    let code = front_page().lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
    assert!(code <= 18, "{code} lines of code");
    let std = built("front-page", "", &front_page());
    assert_eq!(std.exports, ["portcullis:plugin/lifecycle@0.1.0", "portcullis:plugin/on-request@0.1.0"]);
    assert!(std.imports.iter().all(|import| import.starts_with("wasi:cli/") || import.starts_with("wasi:io/")), "{:#?}", std.imports);
    assert!(std.size <= LIGHT, "{} bytes", std.size);

    let bare = built("front-page-bare", "\"bare\"", &format!("{BARE}{}", front_page()));
    assert_eq!(bare.exports, std.exports);
    assert!(bare.imports.is_empty(), "{:?}", bare.imports);
    assert!(bare.size < std.size, "{} and {} bytes", bare.size, std.size);
}

#[test]
fn only_phases_that_were_written_are_exported() {
    let phases = |name: &str, methods: &str| {
        let source =
            format!("{BARE}use portcullis_sdk::prelude::*;\n#[settings]\nstruct Nothing;\n#[plugin]\nimpl Nothing {{ {methods} }}");
        let exports = built(name, "\"bare\"", &source).exports;
        exports.iter().filter_map(|export| export.strip_prefix("portcullis:plugin/")?.strip_suffix("@0.1.0").map(str::to_owned)).collect()
    };
    let request = "fn on_request(&self, _: &Request, _: &mut RequestEdits) {}";
    let response = "fn on_response(&self, _: &Response, _: &mut Edits) {}";
    let accept = "#[interest(peer)] fn on_accept(&self, _: &Accepted, _: &mut ConnectionEdits) {}";
    let close = "#[interest(bytes)] fn on_close(&self, _: &Closed) {}";
    let found: Vec<String> = phases("response-only", response);
    assert_eq!(found, ["lifecycle", "on-response"]);
    let found: Vec<String> = phases("both-phases", &format!("{request} {response}"));
    assert_eq!(found, ["lifecycle", "on-request", "on-response"]);
    let found: Vec<String> = phases("connection-phases", &format!("{accept} {close}"));
    assert_eq!(found, ["connections", "lifecycle", "on-accept", "on-close"]);
}

#[test]
fn only_what_is_called_is_imported() {
    for (name, call, import) in [
        ("uses-log", "log::info!(\"hello\")", "log@0.1.0#log"),
        ("uses-clock", "let _ = clock::now();", "clock@0.1.0#now"),
        ("uses-random", "let _ = random::bytes(8);", "random@0.1.0#bytes"),
        ("uses-secret", "let _ = secret::get(\"KEY\");", "secret@0.1.0#get"),
        ("uses-metrics", "metrics::count(\"asked\", &[(\"a\", \"b\")], 1);", "metrics@0.1.0#count"),
        ("uses-kv", "let _ = kv::Store::named(\"s\").add(\"k\", 1, None);", "kv@0.1.0#add"),
        ("uses-http", "let _ = http::Request::get(\"idp\", \"/\").send();", "http-client@0.1.0#send"),
    ] {
        let module = import.split(['@', '-']).next().unwrap_or_default();
        let source = format!(
            "{BARE}use portcullis_sdk::{{prelude::*, {module}}};\n#[settings]\nstruct Nothing;\n#[plugin]\nimpl Nothing {{ \
             fn on_request(&self, _: &Request, _: &mut RequestEdits) {{ {call} }} }}"
        );
        let component = built(name, "\"bare\"", &source);
        assert_eq!(component.imports, [format!("portcullis:plugin/{import}")], "{name}");
        println!("{name}: {} bytes", component.size);
    }
}

/// `PORTCULLIS_INSPECT=a.wasm:b.wasm cargo test -p portcullis-sdk --test components -- --ignored --nocapture` prints what is in files.
#[test]
#[ignore = "prints, tests nothing"]
fn print() {
    for file in std::env::var("PORTCULLIS_INSPECT").expect("files, separated by colons").split(':') {
        let component = Component::read(&fs::read(file).expect("readable"));
        for (size, name) in component.functions.iter().take(40) {
            println!("{size:7} {name}");
        }
        println!("{file}: {} bytes\n  exports {:?}\n  imports {:#?}", component.size, component.exports, component.imports);
        println!("  {:?}", component.sections);
    }
}
