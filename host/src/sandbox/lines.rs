//! File and line of a place in a guest, from the DWARF that its author left in the file. The engine is not told of it: it would read all of
//! it anew for each frame of each trap, which a client could have done at will. Here it is read for a report, and reports are few.

use addr2line::Context;
use gimli::{Dwarf, EndianSlice, LittleEndian};
use std::collections::HashMap;
use std::ops::Range;
use wasmtime::component::__internal::wasmtime_environ::wasmparser::{KnownCustom, Name, Parser, Payload};

/// The debugging sections of a component's modules.
pub(super) struct Lines {
    modules: Vec<Module>,
    /// Frames may be of the module as a file of its own: their places count from its start then.
    alone: bool,
}

struct Module {
    name: Option<String>,
    /// Where it begins in the component.
    start: usize,
    /// Where its code is in the component; DWARF counts from the start of that.
    code: Range<usize>,
    sections: HashMap<String, Box<[u8]>>,
}

impl Lines {
    /// `None`: there are none.
    pub(super) fn of(bytes: &[u8], alone: bool) -> Option<Self> {
        let mut modules = Vec::new();
        let mut open: Vec<Module> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::Version { range, .. } => {
                    open.push(Module { name: None, start: range.start, code: 0..0, sections: HashMap::new() })
                }
                Payload::End(_) => modules.extend(open.pop().filter(|module| module.sections.contains_key(".debug_line"))),
                Payload::CodeSectionStart { range, .. } => open.iter_mut().last()?.code = range,
                Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                    open.iter_mut().last()?.sections.insert(section.name().to_owned(), section.data().into());
                }
                Payload::CustomSection(section) => {
                    let KnownCustom::Name(names) = section.as_known() else { continue };
                    let named = names.into_iter().map_while(Result::ok).find_map(|name| match name {
                        Name::Module { name, .. } => Some(name.to_owned()),
                        _ => None,
                    });
                    open.iter_mut().last()?.name = named;
                }
                _ => {}
            }
        }
        (!modules.is_empty()).then_some(Self { modules, alone })
    }

    /// `file:line:column` of each place; `None` where nothing is known.
    pub(super) fn find<'p>(&self, places: impl Iterator<Item = (Option<&'p str>, Option<usize>)>) -> Vec<Option<String>> {
        let contexts: Vec<_> = self.modules.iter().map(|module| (module, module.context())).collect();
        let place = |(name, offset): (Option<&str>, Option<usize>)| {
            let offset = offset?;
            let address = |module: &Module| {
                let offset = if self.alone { offset + module.start } else { offset };
                let ours = module.code.contains(&offset) && (module.name.is_none() || module.name.as_deref() == name);
                ours.then(|| (offset - module.code.start) as u64)
            };
            let (address, context) = contexts.iter().find_map(|(module, context)| Some((address(module)?, context)))?;
            let location = context.as_ref()?.find_location(address).ok()??;
            let (line, column) = (location.line.unwrap_or(0), location.column.unwrap_or(0));
            Some(format!("{}:{line}:{column}", location.file?))
        };
        places.map(place).collect()
    }
}

impl Module {
    fn context(&self) -> Option<Context<EndianSlice<'_, LittleEndian>>> {
        let section = |id: gimli::SectionId| {
            let bytes = self.sections.get(id.name()).map(|bytes| &**bytes).unwrap_or_default();
            Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        Context::from_dwarf(Dwarf::load(section).ok()?).ok()
    }
}
