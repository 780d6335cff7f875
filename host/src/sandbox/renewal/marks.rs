//! A module whose guests can be set back is given names for what must be: its mutable globals. Done once, before it is compiled.

use wasm_encoder::{Encode, ExportKind, ExportSection, Module, RawSection, SectionId};
use wasmtime::component::__internal::wasmtime_environ::wasmparser::{
    ExportSectionReader, ExternalKind, FunctionBody, GlobalSectionReader, Operator, Parser, Payload, RefType, Result, TableSectionReader,
    ValType,
};

/// Exported by modules that went through here, and the beginning of all names that are given here.
pub(super) const MARK: &str = "portcullis:renewal";

/// The name of the `index`th mutable global.
pub(super) fn global(index: usize) -> String {
    format!("{MARK}/{index}")
}

/// What may be compiled in a module's place.
pub(in crate::sandbox) enum Marked {
    /// The same, with names.
    Yes(Vec<u8>),
    /// There is more to a guest of it than one memory and some numbers: it is compiled as it is.
    No,
    /// It has such names of its own.
    Pretends,
}

/// Gives names. What is no module at all is for the compiler to say.
pub(in crate::sandbox) fn marked(module: &[u8]) -> Marked {
    rewritten(module).unwrap_or(Marked::No)
}

fn rewritten(bytes: &[u8]) -> Result<Marked> {
    let mut module = Module::new();
    let (mut globals, mut memories, mut plain) = (Vec::new(), 0, true);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        let section = payload.as_section();
        match payload {
            Payload::ExportSection(exports) => {
                let Some(exports) = with_names(exports, &globals)? else { return Ok(Marked::Pretends) };
                module.section(&exports);
                continue;
            }
            Payload::GlobalSection(section) => plain &= mutable(section, &mut globals)?,
            Payload::TableSection(section) => plain &= functions_only(section)?,
            Payload::MemorySection(section) => memories += section.count(),
            Payload::ImportSection(section) => plain &= section.count() == 0,
            Payload::TagSection(section) => plain &= section.count() == 0,
            Payload::CodeSectionEntry(body) => plain &= leaves_tables(&body)?,
            _ => {}
        }
        if let Some((id, range)) = section {
            module.section(&RawSection { id, data: bytes.get(range).unwrap_or_default() });
        }
    }
    Ok(if plain && memories == 1 { Marked::Yes(module.finish()) } else { Marked::No })
}

/// How much further back in the file everything after the exports is, bytes, in a module that was given names.
pub(in crate::sandbox) fn growth(bytes: &[u8]) -> usize {
    let mut globals = Vec::new();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::GlobalSection(section) => drop(mutable(section, &mut globals)),
            Payload::ExportSection(exports) => {
                let Some(data) = bytes.get(exports.range()) else { return 0 };
                let Ok(Some(after)) = with_names(exports, &globals) else { return 0 };
                return size(&after).saturating_sub(size(&RawSection { id: SectionId::Export.into(), data }));
            }
            _ => {}
        }
    }
    0
}

/// The exports and, after them, the mark and the globals; `None`: the module has such a name already. Globals come before exports in a module.
fn with_names(exports: ExportSectionReader<'_>, globals: &[u32]) -> Result<Option<ExportSection>> {
    let mut section = ExportSection::new();
    for export in exports {
        let export = export?;
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            ExternalKind::Tag => ExportKind::Tag,
        };
        if export.name.starts_with(MARK) {
            return Ok(None);
        }
        section.export(export.name, kind, export.index);
    }
    section.export(MARK, ExportKind::Memory, 0);
    for (index, at) in globals.iter().enumerate() {
        section.export(&global(index), ExportKind::Global, *at);
    }
    Ok(Some(section))
}

/// Whether globals are numbers, or functions for good: what a reference leads to could be changed. Nothing is imported, so they are counted from the
/// first.
fn mutable(section: GlobalSectionReader<'_>, globals: &mut Vec<u32>) -> Result<bool> {
    let mut plain = true;
    for (global, index) in section.into_iter().zip(0..) {
        let ty = global?.ty;
        plain &= !ty.shared
            && match ty.content_type {
                ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128 => true,
                ValType::Ref(reference) => reference == RefType::FUNCREF && !ty.mutable,
            };
        if ty.mutable {
            globals.push(index);
        }
    }
    Ok(plain)
}

fn functions_only(section: TableSectionReader<'_>) -> Result<bool> {
    let mut only = true;
    for table in section {
        only &= table?.ty.element_type == RefType::FUNCREF;
    }
    Ok(only)
}

/// Whether a function leaves tables and segments as they are.
fn leaves_tables(body: &FunctionBody<'_>) -> Result<bool> {
    for operator in body.get_operators_reader()? {
        if let Operator::TableSet { .. }
        | Operator::TableGrow { .. }
        | Operator::TableFill { .. }
        | Operator::TableCopy { .. }
        | Operator::TableInit { .. }
        | Operator::ElemDrop { .. }
        | Operator::DataDrop { .. } = operator?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of a section, with its length in front.
fn size(section: &impl Encode) -> usize {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    bytes.len()
}
