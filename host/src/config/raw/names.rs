//! What is declared, known before anything is decoded, so that references can be checked where they stand; and what was used.

use super::Context;
use super::node::{Node, Table, Value};
use super::reader::nearest;
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, PluginName, PluginRef};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The bundled plugins that shorthand turns into, and those that can be used by name.
pub const BUNDLED: &[&str] = &[
    "headers",
    "rewrite",
    "redirect",
    "respond",
    "route",
    "request-id",
    "ip-filter",
    "conn-limit",
    "rate-limit",
    "basic-auth",
    "security-headers",
    "cors",
    "cache-control",
    "maintenance",
    "jwt",
    "forward-auth",
    "geo-header",
    "bot-challenge",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    Upstream,
    Plugin,
    Chain,
    Store,
    Secret,
    SigningKey,
}

/// In the order of their numbers, which index the lists below.
const SORTS: [Sort; 6] = [Sort::Upstream, Sort::Plugin, Sort::Chain, Sort::Store, Sort::Secret, Sort::SigningKey];

impl Sort {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Plugin => "plugin",
            Self::Chain => "chain",
            Self::Store => "kv",
            Self::Secret => "secret",
            Self::SigningKey => "key",
        }
    }
}

/// Declared names with their places.
#[derive(Debug, Default)]
pub struct Names {
    declared: [BTreeMap<String, Span>; SORTS.len()],
    /// Plugins with a file of their own.
    with_source: BTreeSet<String>,
    used: [RefCell<BTreeSet<String>>; SORTS.len()],
}

impl Names {
    pub fn read(root: &Table) -> Self {
        let declared = SORTS.map(|sort| match section_of(root, sort).map(|node| &node.value) {
            Some(Value::Table(table)) => table.entries.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect(),
            _ => BTreeMap::new(),
        });
        let with_source = match root.get("plugin").map(|entry| &entry.value.value) {
            Some(Value::Table(table)) => {
                table.entries.iter().filter(|entry| has_source(&entry.value)).map(|entry| entry.key.clone()).collect()
            }
            _ => BTreeSet::new(),
        };
        Self { declared, with_source, used: Default::default() }
    }

    /// The bundled plugin that `name` stands for: declared only to limit it, or not at all.
    pub fn bundled(&self, name: &str) -> Option<&'static str> {
        BUNDLED.iter().copied().find(|bundled| *bundled == name && !self.with_source.contains(name))
    }

    pub fn has(&self, sort: Sort, name: &str) -> bool {
        self.declared[sort as usize].contains_key(name)
    }

    pub fn mark(&self, sort: Sort, name: &str) {
        let mut used = self.used[sort as usize].borrow_mut();
        if !used.contains(name) {
            used.insert(name.to_owned());
        }
    }

    fn of(&self, sort: Sort) -> impl Iterator<Item = &str> {
        self.declared[sort as usize].keys().map(|name| &**name)
    }
}

/// The table that declares names of a sort.
fn section_of(root: &Table, sort: Sort) -> Option<&Node> {
    if sort != Sort::SigningKey {
        return Some(&root.get(sort.word())?.value);
    }
    match &root.get("trust")?.value.value {
        Value::Table(trust) => Some(&trust.get("keys")?.value),
        _ => None,
    }
}

fn has_source(plugin: &Node) -> bool {
    match &plugin.value {
        Value::Table(table) => table.get("source").is_some(),
        _ => true,
    }
}

impl Context<'_> {
    /// The plugin of a link; if there is none of the name, says so. Counts as a use.
    pub fn plugin(&self, name: &str, span: Span) -> Option<PluginRef> {
        if self.names.has(Sort::Plugin, name) {
            self.names.mark(Sort::Plugin, name);
            return Some(PluginRef::Declared(PluginName(name.to_owned())));
        }
        let bundled = self.names.bundled(name);
        if bundled.is_none() {
            self.undefined(Sort::Plugin, name, span);
        }
        bundled.map(PluginRef::Bundled)
    }

    /// Whether an upstream or chain is declared; if not, says so. Counts as a use.
    pub fn refer(&self, sort: Sort, name: &str, span: Span) -> bool {
        if self.names.has(sort, name) {
            self.names.mark(sort, name);
            return true;
        }
        self.undefined(sort, name, span);
        false
    }

    /// Reports a name that nothing declares.
    pub fn undefined(&self, sort: Sort, name: &str, span: Span) {
        if self.may_be_lost(name) {
            return;
        }
        let bundled: &[&str] = if sort == Sort::Plugin { BUNDLED } else { &[] };
        let found = Diagnostic::error(Code::Undefined, self.place(span), format!("{} `{name}` is not declared", sort.word()));
        let known: Vec<&str> = self.names.of(sort).chain(bundled.iter().copied()).collect();
        let found = match nearest(name, known.iter().copied()) {
            Some(near) => found.label(format!("did you mean `{near}`?")),
            None => found,
        };
        self.report(found.help(match known.is_empty() {
            true if sort == Sort::Secret => format!("no secret is declared; for example: [secret] {name} = {{ env = \"{name}\" }}"),
            true if sort == Sort::SigningKey => format!("no key is declared; for example: [trust] keys = {{ {name} = \"RWQ…\" }}"),
            true => format!("no {} is declared; for example: [{}.{name}]", sort.word(), sort.word()),
            false => format!("{}s: {}", sort.word(), list(&known)),
        }));
    }

    /// Warns of what nothing refers to.
    pub fn report_unused(&self) {
        for sort in SORTS {
            let used = self.names.used[sort as usize].borrow();
            for (name, span) in self.names.declared[sort as usize].iter().filter(|(name, _)| !used.contains(*name)) {
                let message = format!("{} `{name}` is declared but not used", sort.word());
                self.report(Diagnostic::warning(Code::Unused, self.place(*span), message));
            }
        }
    }
}

/// A few names; thousands of upstreams help nobody.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
