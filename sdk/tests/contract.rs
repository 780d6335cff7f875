//! `sdk/abi/*.meta` are what `wit/` says. With `PORTCULLIS_WRITE=1` (that is `cargo xtask wit`) they are made anew.

use std::fs;
use std::path::PathBuf;
use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

/// Each file, and the world that it describes. Worlds of one item, so that a component exports and imports just what it uses.
const FILES: [(&str, &str); 24] = [
    ("lifecycle", "export portcullis:plugin/lifecycle@0.1.0;"),
    ("on-request", "export portcullis:plugin/on-request@0.1.0;"),
    ("on-response", "export portcullis:plugin/on-response@0.1.0;"),
    ("connections", "export portcullis:plugin/connections@0.1.0;"),
    ("on-accept", "export portcullis:plugin/on-accept@0.1.0;"),
    ("on-client-hello", "export portcullis:plugin/on-client-hello@0.1.0;"),
    ("on-close", "export portcullis:plugin/on-close@0.1.0;"),
    ("bodies", "export portcullis:plugin/bodies@0.1.0;"),
    ("on-request-body", "export portcullis:plugin/on-request-body@0.1.0;"),
    ("on-response-body", "export portcullis:plugin/on-response-body@0.1.0;"),
    ("upstreams", "export portcullis:plugin/upstreams@0.1.0;"),
    ("on-balance", "export portcullis:plugin/on-balance@0.1.0;"),
    ("on-attempt", "export portcullis:plugin/on-attempt@0.1.0;"),
    ("on-done", "export portcullis:plugin/on-done@0.1.0;"),
    ("on-tick", "export portcullis:plugin/on-tick@0.1.0;"),
    ("wasi-random", "import wasi:random/random@0.2.0;"),
    ("log", "import portcullis:plugin/log@0.1.0;"),
    ("clock", "import portcullis:plugin/clock@0.1.0;"),
    ("random", "import portcullis:plugin/random@0.1.0;"),
    ("secret", "import portcullis:plugin/secret@0.1.0;"),
    ("metrics", "import portcullis:plugin/metrics@0.1.0;"),
    ("tracing", "import portcullis:plugin/tracing@0.1.0;"),
    ("kv", "import portcullis:plugin/kv@0.1.0;"),
    ("http-client", "import portcullis:plugin/http-client@0.1.0;"),
];

fn sdk() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn encoded(name: &str, item: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(sdk().join("../wit")).expect("wit/ is sound");
    resolve.push_file(sdk().join("abi/wasi-random.wit")).expect("wasi-random.wit is sound");
    let text = format!("package portcullis:sdk-{name};\nworld piece {{ {item} }}\n");
    let package = resolve.push_str("piece.wit", &text).expect("names an interface that exists");
    let world = resolve.select_world(&[package], Some("piece")).expect("the world above");
    metadata::encode(&resolve, world, StringEncoding::UTF8, None).expect("encodes")
}

#[test]
fn metadata_is_that_of_the_contract() {
    for (name, item) in FILES {
        let (file, fresh) = (sdk().join(format!("abi/{name}.meta")), encoded(name, item));
        if std::env::var_os("PORTCULLIS_WRITE").is_some() {
            fs::write(&file, &fresh).expect("writable");
        }
        assert!(fs::read(&file).expect("readable") == fresh, "{}: not what wit/ says; run `cargo xtask wit`", file.display());
    }
}

/// The names and flat signatures that `src/abi/exports/macros.rs` and `src/abi/imports.rs` write by hand.
#[test]
fn shims_have_the_contract_s_core_signatures() {
    use wit_parser::abi::{AbiVariant, WasmType};
    let source = |file: &str| fs::read_to_string(sdk().join("src/abi").join(file)).expect("readable");
    let (exports, imports) = (source("exports/macros.rs"), source("imports.rs"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(sdk().join("../wit")).expect("wit/ is sound");
    let mut seen = (0, 0);
    for (interface, id) in &resolve.packages[package].interfaces {
        for (name, function) in &resolve.interfaces[*id].functions {
            let module = format!("portcullis:plugin/{interface}@0.1.0");
            let imported = FILES.contains(&(interface.as_str(), &format!("import {module};")));
            let (written, variant) = if imported {
                seen.0 += 1;
                (
                    after(after(&imports, &format!("wasm_import_module = \"{module}\"")), &format!("link_name = \"{name}\"")),
                    AbiVariant::GuestImport,
                )
            } else {
                seen.1 += 1;
                (after(&exports, &format!("{module}#{name}")), AbiVariant::GuestExport)
            };
            let signature = resolve.wasm_signature(variant, function);
            let core = |kind: &WasmType| match kind {
                WasmType::I64 => "i64",
                WasmType::F64 => "f64",
                _ => "i32",
            };
            let expected = [&signature.params, &signature.results].map(|types| types.iter().map(core).collect::<Vec<_>>());
            assert_eq!(written_signature(written), expected, "{module}#{name}");
        }
    }
    assert_eq!(seen, (18, 25), "the capabilities; describe, configure, the plans, release, and the phases");
}

fn after<'s>(source: &'s str, what: &str) -> &'s str {
    let at = source.find(what).unwrap_or_else(|| panic!("no {what} in src/abi"));
    &source[at..]
}

/// A type of Rust as the core type it is passed as.
fn core_type(written: &str) -> &'static str {
    match written.rsplit(": ").next().unwrap_or_default().trim() {
        "u64" | "i64" => "i64",
        "f64" => "f64",
        _ => "i32",
    }
}

/// The parameters and the result of the first function in `source`, as core types.
fn written_signature(source: &str) -> [Vec<&'static str>; 2] {
    let from = after(source, "fn ");
    let (list, rest) = from[from.find('(').expect("with parameters") + 1..].split_once([')']).expect("that end");
    // Answer<(), E> is the one type with parentheses in it; it is behind a pointer and last.
    let (list, rest) = if list.ends_with('(') { (list, after(rest, ")").strip_prefix(')').unwrap_or_default()) } else { (list, rest) };
    let parameters = list.split(", ").flat_map(|part| part.split(",\n")).filter(|part| part.contains(": ")).map(core_type).collect();
    let result = rest.split([';', '{']).next().and_then(|rest| rest.split_once("-> "));
    [parameters, result.map(|(_, result)| core_type(result)).into_iter().collect()]
}
