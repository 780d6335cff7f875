//! What is in a built component, read the way the proxy reads it: without running it.

use std::collections::BTreeMap;
use wasmparser::{Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::{WorldItem, WorldKey};

pub struct Component {
    /// Interfaces, sorted.
    pub exports: Vec<String>,
    /// `interface#function`, sorted. Interfaces of types only are not in it.
    pub imports: Vec<String>,
    /// Bytes in all, and by kind of section in all core modules.
    pub size: usize,
    pub sections: BTreeMap<String, usize>,
    /// Functions of the first core module with their sizes, largest first; empty if names were stripped.
    pub functions: Vec<(usize, String)>,
}

impl Component {
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(bytes) else { panic!("not a component") };
        let world = &resolve.worlds[world];
        let name = |key: &WorldKey| resolve.name_world_key(key);
        let mut imports = Vec::new();
        for (key, item) in &world.imports {
            if let WorldItem::Interface { id, .. } = item {
                imports.extend(resolve.interfaces[*id].functions.keys().map(|function| format!("{}#{function}", name(key))));
            }
        }
        let mut exports: Vec<String> = world.exports.keys().map(name).collect();
        exports.sort();
        imports.sort();
        Self { exports, imports, size: bytes.len(), sections: sections(bytes), functions: functions(bytes) }
    }
}

fn sections(bytes: &[u8]) -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for payload in Parser::new(0).parse_all(bytes) {
        let (name, len) = match payload.expect("valid") {
            Payload::CodeSectionStart { range, .. } => ("code".to_owned(), range.len()),
            Payload::DataSection(data) => ("data".to_owned(), data.range().len()),
            Payload::CustomSection(custom) => (format!("custom {}", custom.name()), custom.data().len()),
            _ => continue,
        };
        *sizes.entry(name).or_default() += len;
    }
    sizes
}

fn functions(bytes: &[u8]) -> Vec<(usize, String)> {
    let (mut sizes, mut names, mut imported) = (Vec::new(), BTreeMap::new(), 0);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("valid") {
            Payload::ImportSection(section) if names.is_empty() => {
                imported = section
                    .into_imports()
                    .filter(|import| matches!(import.as_ref().expect("valid").ty, wasmparser::TypeRef::Func(_)))
                    .count();
            }
            Payload::CodeSectionEntry(body) if names.is_empty() => sizes.push(body.range().len()),
            Payload::CustomSection(custom) if names.is_empty() => {
                let wasmparser::KnownCustom::Name(section) = custom.as_known() else { continue };
                for part in section {
                    let Ok(wasmparser::Name::Function(map)) = part else { continue };
                    names.extend(map.into_iter().map(|naming| naming.expect("valid")).map(|naming| (naming.index as usize, naming.name)));
                }
            }
            _ => {}
        }
    }
    let mut sized: Vec<_> =
        names.into_iter().filter_map(|(index, name)| Some((*sizes.get(index.checked_sub(imported)?)?, name.to_owned()))).collect();
    sized.sort_by(|a, b| b.cmp(a));
    sized
}
