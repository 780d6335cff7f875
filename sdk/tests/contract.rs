//! `sdk/abi/*.meta` are what `wit/` says. With `PORTCULLIS_WRITE=1` (that is `cargo xtask wit`) they are made anew.

use std::fs;
use std::path::PathBuf;
use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

/// Each file, and the world that it describes. Worlds of one item, so that a component exports and imports just what it uses.
const FILES: [(&str, &str); 8] = [
    ("lifecycle", "export portcullis:plugin/lifecycle@0.1.0;"),
    ("on-request", "export portcullis:plugin/on-request@0.1.0;"),
    ("on-response", "export portcullis:plugin/on-response@0.1.0;"),
    ("connections", "export portcullis:plugin/connections@0.1.0;"),
    ("on-accept", "export portcullis:plugin/on-accept@0.1.0;"),
    ("on-client-hello", "export portcullis:plugin/on-client-hello@0.1.0;"),
    ("on-close", "export portcullis:plugin/on-close@0.1.0;"),
    ("random", "import wasi:random/random@0.2.0;"),
];

fn sdk() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn encoded(name: &str, item: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(sdk().join("../wit")).expect("wit/ is sound");
    resolve.push_file(sdk().join("abi/random.wit")).expect("random.wit is sound");
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

/// The export names and flat signatures that `src/abi/exports/macros.rs` writes by hand.
#[test]
fn shims_have_the_contract_s_core_signatures() {
    use wit_parser::abi::{AbiVariant, WasmType};
    let source = fs::read_to_string(sdk().join("src/abi/exports/macros.rs")).expect("readable");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(sdk().join("../wit")).expect("wit/ is sound");
    let mut seen = 0;
    for (interface, id) in &resolve.packages[package].interfaces {
        for (name, function) in &resolve.interfaces[*id].functions {
            let export = format!("portcullis:plugin/{interface}@0.1.0#{name}");
            let at = source.find(&export).unwrap_or_else(|| panic!("macros.rs does not export {export}"));
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            let written = written_parameters(&source[at..]);
            let expected: Vec<_> = signature.params.iter().map(|kind| if *kind == WasmType::I64 { "i64" } else { "i32" }).collect();
            assert_eq!(written, expected, "{export}");
            let returns = signature.retptr || (function.result.is_none() && signature.results.is_empty());
            assert!(returns, "{export}: a result by pointer, or none, is what the shims return");
            seen += 1;
        }
    }
    assert_eq!(seen, 8, "describe, configure, plan-connections, and the phases");
}

/// The parameters of the first function in `source`, as core types.
fn written_parameters(source: &str) -> Vec<&'static str> {
    let from = source.find('(').expect("a function") + 1;
    // The attribute's own parentheses have been passed: the export's name ends inside them.
    let list = &source[from..from + source[from..].find(") ").expect("that ends")];
    let core = |parameter: &str| if parameter.ends_with("u64") { "i64" } else { "i32" };
    list.split(',').map(str::trim).filter(|parameter| !parameter.is_empty()).map(core).collect()
}
