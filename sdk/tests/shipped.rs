//! What was shipped of the contract never changes: `tests/corpus/contract-0.1.0.txt` has every type and function that components may have
//! been built against, and `wit/` must still have each of them as it was. What is new is free, until `cargo xtask wit --ship` adds it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use wit_parser::{Function, FunctionKind, Resolve, Type, TypeDefKind, TypeId, TypeOwner};

/// Of the package as it is now; a later version has a file of its own beside this one.
const VERSION: &str = "0.1.0";

/// By name, such as `types.edit` or `kv.get`: what it is.
type Contract = BTreeMap<String, String>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shipped_file() -> PathBuf {
    root().join(format!("tests/corpus/contract-{VERSION}.txt"))
}

/// The contract of these files.
fn contract(resolve: &Resolve, package: wit_parser::PackageId) -> Contract {
    let mut all = Contract::new();
    for (interface, id) in &resolve.packages[package].interfaces {
        let interface_of = &resolve.interfaces[*id];
        for (name, ty) in &interface_of.types {
            // `use types.{header}` is no type of its own.
            if !matches!(resolve.types[*ty].kind, TypeDefKind::Type(Type::Id(_))) {
                all.insert(format!("{interface}.{name}"), kind(resolve, &resolve.types[*ty].kind));
            }
        }
        for (name, function) in &interface_of.functions {
            all.insert(format!("{interface}.{name}"), signature(resolve, function));
        }
    }
    all
}

fn now() -> Contract {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("wit/ is sound");
    let version = resolve.packages[package].name.version.as_ref().map(ToString::to_string);
    assert_eq!(version.as_deref(), Some(VERSION), "a new version of the package is hosted beside the old one: give it a file of its own");
    contract(&resolve, package)
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<_> = function.params.iter().map(|param| format!("{}: {}", param.name, ty(resolve, &param.ty))).collect();
    let result = function.result.as_ref().map(|result| format!(" -> {}", ty(resolve, result))).unwrap_or_default();
    let word = if matches!(function.kind, FunctionKind::Freestanding) { "func".to_owned() } else { format!("{:?}", function.kind) };
    format!("{word}({}){result}", params.join(", "))
}

fn ty(resolve: &Resolve, of: &Type) -> String {
    match of {
        Type::Id(id) => named(resolve, *id),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

/// By interface and name, whichever `use` it came through; what has no name by what it is.
fn named(resolve: &Resolve, id: TypeId) -> String {
    let def = &resolve.types[id];
    match (&def.kind, &def.name, def.owner) {
        (TypeDefKind::Type(Type::Id(behind)), ..) => named(resolve, *behind),
        (_, Some(name), TypeOwner::Interface(owner)) => {
            format!("{}.{name}", resolve.interfaces[owner].name.as_deref().unwrap_or("?"))
        }
        (kind_of, ..) => kind(resolve, kind_of),
    }
}

fn kind(resolve: &Resolve, of: &TypeDefKind) -> String {
    let optional = |of: &Option<Type>| of.as_ref().map_or_else(|| "_".to_owned(), |of| ty(resolve, of));
    let braces = |word: &str, items: Vec<String>| format!("{word} {{ {} }}", items.join(", "));
    match of {
        TypeDefKind::Record(record) => {
            braces("record", record.fields.iter().map(|field| format!("{}: {}", field.name, ty(resolve, &field.ty))).collect())
        }
        TypeDefKind::Variant(variant) => {
            let case = |case: &wit_parser::Case| match &case.ty {
                Some(of) => format!("{}({})", case.name, ty(resolve, of)),
                None => case.name.clone(),
            };
            braces("variant", variant.cases.iter().map(case).collect())
        }
        TypeDefKind::Enum(of) => braces("enum", of.cases.iter().map(|case| case.name.clone()).collect()),
        TypeDefKind::Flags(flags) => braces("flags", flags.flags.iter().map(|flag| flag.name.clone()).collect()),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(|of| ty(resolve, of)).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Option(of) => format!("option<{}>", ty(resolve, of)),
        TypeDefKind::List(of) => format!("list<{}>", ty(resolve, of)),
        TypeDefKind::Result(of) => format!("result<{}, {}>", optional(&of.ok), optional(&of.err)),
        TypeDefKind::Type(of) => ty(resolve, of),
        // Nothing else stands in the contract today; whatever it says is compared as it is.
        other => format!("{other:?}"),
    }
}

fn read(text: &str) -> Contract {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_once(" = ").expect("`name = what it is`")).map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
}

/// What was shipped and is no more, or is something else, with what to do.
fn broken(shipped: &Contract, now: &Contract) -> Vec<String> {
    let differs = shipped.iter().filter(|(name, what)| now.get(*name) != Some(*what));
    let told = |(name, what): (&String, &String)| {
        let is = now.get(name).map_or("gone", |is| &**is);
        let (interface, _) = name.split_once('.').unwrap_or((name, ""));
        format!(
            "`{name}` of portcullis:plugin@{VERSION} was shipped and has changed: components that were built against it would be refused\n  \
             shipped: {what}\n  now:     {is}\n  \
             = put it back as it was; what is new goes into a type or function of its own (in `{interface}` or in an interface of its own,\n    \
             as wit/connection.wit did), or into a new version of the package that is hosted beside this one"
        )
    };
    differs.map(told).collect()
}

#[test]
fn what_was_shipped_is_as_it_was() {
    let text = fs::read_to_string(shipped_file()).unwrap_or_default();
    let (shipped, now) = (read(&text), now());
    let broken = broken(&shipped, &now);
    assert!(broken.is_empty(), "\n{}", broken.join("\n\n"));
    let new: Contract = now.into_iter().filter(|(name, _)| !shipped.contains_key(name)).collect();
    if std::env::var_os("PORTCULLIS_SHIP").is_some() {
        let all = shipped.iter().chain(&new).collect::<BTreeMap<_, _>>();
        let lines: String = all.iter().map(|(name, what)| format!("{name} = {what}\n")).collect();
        let head = format!(
            "# Types and functions of portcullis:plugin@{VERSION} that were shipped: none may change (sdk/tests/shipped.rs).\n\
             # `cargo xtask wit --ship` adds what is new in wit/ when it is released.\n"
        );
        fs::write(shipped_file(), head + &lines).expect("writable");
    }
    for name in new.keys() {
        println!("not shipped yet, may still change: {name}");
    }
    assert!(shipped.len() > 50 || std::env::var_os("PORTCULLIS_SHIP").is_some(), "{} is empty", shipped_file().display());
}

/// A package of this text.
fn parsed(text: &str) -> Contract {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("a.wit", &format!("package a:b@0.1.0;\n{text}")).expect("sound");
    contract(&resolve, package)
}

const BEFORE: &str = "interface types { record header { name: string, value: list<u8> } variant edit { set(header), drop(string) } \
                      enum level { low, high } flags parts { path, query } } \
                      interface kv { use types.{header}; get: func(key: string) -> result<option<header>, string>; }";

#[test]
fn new_things_beside_the_old_ones_are_no_change() {
    let after =
        format!("{BEFORE} interface types2 {{ use types.{{edit}}; record more {{ edits: list<edit> }} }} interface log {{ say: func(); }}");
    assert_eq!(broken(&parsed(BEFORE), &parsed(&after)), [""; 0]);
    let after = BEFORE.replace("interface kv { use types.{header};", "interface kv { use types.{header}; set: func(key: string);");
    assert_eq!(broken(&parsed(BEFORE), &parsed(&after)), [""; 0], "functions may be added");
}

#[test]
fn every_change_of_an_old_thing_is_told() {
    for (old, new, name) in [
        ("name: string,", "name: string, size: u32,", "`types.header`"),
        ("drop(string)", "drop(string), keep", "`types.edit`"),
        ("low, high", "high, low", "`types.level`"),
        ("path, query", "path, query, body", "`types.parts`"),
        ("get: func(key: string)", "get: func(key: list<u8>)", "`kv.get`"),
        ("option<header>, string>", "option<header>>", "`kv.get`"),
        ("get: func", "fetch: func", "`kv.get`"),
    ] {
        let after = BEFORE.replace(old, new);
        assert_ne!(after, BEFORE);
        let told = broken(&parsed(BEFORE), &parsed(&after));
        assert!(told.len() == 1 && told[0].starts_with(name) && told[0].contains("put it back"), "{old}: {told:?}");
    }
}
