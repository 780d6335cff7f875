//! What a component may import, decided from its import list alone, before anything in it runs.
//!
//! Granted are the contract's types, which are no functions, and the WASI functions that `wasi` stubs. Everything else refuses the file,
//! with a message that names what is missing.

use super::imports::Capability;
use super::offer::Offered;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;

/// The contract's package and version, as `wit/` has them.
pub(super) const PACKAGE: &str = "portcullis:plugin/";
pub(super) const VERSION: &str = "0.1.0";
const WASI_VERSION: &str = "0.2.0";

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// As the file has it: `wasi:clocks/wall-clock@0.2.6`.
    pub name: String,
    /// Functions that it takes from the interface, sorted.
    pub items: Vec<String>,
    pub standing: Standing,
}

/// Whether an import is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Types only: there is nothing to grant.
    Types,
    /// A part of WASI that leads nowhere: clock, random numbers, log lines, and emptiness.
    Stub,
    /// One of ours, which the operator must grant.
    Capability(Capability),
    Refused(Refusal),
}

/// Why an import is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("imports `{import}`, which no plugin is granted")]
    NotGranted { import: String },
    /// A version of ours that this proxy does not know; likely the plugin is newer.
    #[error("needs `{import}`; this proxy offers {offered}")]
    Version { import: String, offered: String },
    /// A function that a later version of ours has.
    #[error("needs `{item}` of `{import}`; this proxy offers {offered}, which does not have it")]
    Newer { import: String, item: String, offered: String },
    /// Could be granted, and was not.
    #[error("imports `{import}` but has no right to it")]
    Ungranted { import: String, grant: &'static str },
    #[error("imports `{item}` of `{import}`, which no plugin is granted")]
    Item { import: String, item: String },
}

/// The imports of a component, in file order.
pub(super) fn imports<'c>(engine: &'c Engine, imports: impl Iterator<Item = (&'c str, ComponentItem)>, offered: &Offered) -> Vec<Import> {
    imports
        .map(|(name, item)| {
            let items = items(engine, &item);
            let standing = match items {
                Some(ref items) => standing(name, items, offered),
                None => Standing::Refused(Refusal::NotGranted { import: name.to_owned() }),
            };
            Import { name: name.to_owned(), items: items.unwrap_or_default(), standing }
        })
        .collect()
}

/// Functions of an interface; types and resources do nothing by themselves, and are compared when it is linked. `None`: not an interface but a function, component or module of its own.
fn items(engine: &Engine, item: &ComponentItem) -> Option<Vec<String>> {
    let ComponentItem::ComponentInstance(instance) = item else { return None };
    let does_nothing = |item: &ComponentItem| matches!(item, ComponentItem::Type(_) | ComponentItem::Resource(_));
    let mut items: Vec<String> =
        instance.exports(engine).filter(|(_, item)| !does_nothing(&item.ty)).map(|(name, _)| name.to_owned()).collect();
    items.sort();
    Some(items)
}

fn standing(import: &str, items: &[String], offered: &Offered) -> Standing {
    let (base, version) = import.split_once('@').unwrap_or((import, ""));
    let import = import.to_owned();
    if let Some(interface) = base.strip_prefix(PACKAGE) {
        let capability = Capability::of(interface);
        if interface != "types" && capability.is_none() {
            return Standing::Refused(Refusal::Version { offered: format!("no `{interface}`"), import });
        }
        if !serves(VERSION, version) {
            return Standing::Refused(Refusal::Version { import, offered: VERSION.to_owned() });
        }
        if let Some(capability) = capability {
            return match items.iter().find(|item| !offered.has(base, item)) {
                Some(item) => Standing::Refused(Refusal::Newer { import, item: item.clone(), offered: VERSION.to_owned() }),
                None => Standing::Capability(capability),
            };
        }
        return match items.first() {
            Some(item) => Standing::Refused(Refusal::Item { import, item: item.clone() }),
            None => Standing::Types,
        };
    }
    if !offered.interface(base) {
        return Standing::Refused(Refusal::NotGranted { import });
    }
    if !serves(WASI_VERSION, version) {
        return Standing::Refused(Refusal::Version { import, offered: WASI_VERSION.to_owned() });
    }
    match items.iter().find(|item| !offered.has(base, item)) {
        Some(item) => Standing::Refused(Refusal::Item { import, item: item.clone() }),
        None => Standing::Stub,
    }
}

/// Whether what we offer can stand for what is wanted: the same major version, or minor where the major is 0. A newer patch may want
/// functions that we lack, which the check of each item finds.
pub(super) fn serves(offered: &str, wanted: &str) -> bool {
    let track = |version: &str| -> Option<(u64, u64)> {
        let mut parts = version.splitn(3, '.').map(|part| part.parse::<u64>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        parts.next()??;
        Some(if major == 0 { (0, minor) } else { (major, 0) })
    };
    track(offered).is_some() && track(offered) == track(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_on_one_track_serve_each_other() {
        for (wanted, served) in [("0.1.0", true), ("0.1.7", true), ("0.2.0", false), ("1.1.0", false), ("0.1.0-rc.1", false), ("", false)] {
            assert_eq!(serves("0.1.0", wanted), served, "{wanted}");
        }
    }
}
