//! The set of files: the main one and what `include` names, each read once, merged into one tree.

use super::Context;
use super::node::{Entry, Node, Table, Value};
use super::reader::{one_or_many, wrong_type};
use super::syntax::{self, Parsed};
use crate::config::source::{Source, Sources, Span};
use crate::config::surroundings::{Surroundings, expand};
use crate::config::{Code, Diagnostic};
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// All files as read, and those that could not be.
#[derive(Default)]
pub struct Files {
    pub sources: Sources,
    pub parsed: Vec<Parsed>,
    pub unreadable: Vec<Unreadable>,
}

/// A file or folder that could not be read.
pub struct Unreadable {
    /// Of the `include` that names it; `None` for the main file.
    named_at: Option<Span>,
    path: PathBuf,
    error: std::io::Error,
}

/// Reads `main` and everything it includes.
pub fn gather(main: &Path, around: &dyn Surroundings) -> Files {
    let mut files = Files::default();
    let mut seen = BTreeSet::new();
    let mut open = VecDeque::from([(main.to_path_buf(), None)]);
    while let Some((path, named_at)) = open.pop_front() {
        if !seen.insert(around.identity(&path)) {
            continue;
        }
        match around.read(&path) {
            Err(error) => files.unreadable.push(Unreadable { named_at, path, error }),
            Ok(text) => files.add(&path, text, around, &mut open),
        }
    }
    files
}

impl Files {
    fn add(&mut self, path: &Path, text: String, around: &dyn Surroundings, open: &mut VecDeque<(PathBuf, Option<Span>)>) {
        let source = Source::new(path, text);
        let parsed = syntax::parse(&source.text, self.parsed.len());
        let file = self.sources.add(source);
        for (pattern, span) in includes(&parsed.table) {
            let pattern = self.sources.resolve(file, pattern);
            match expand(&pattern, around) {
                Ok(paths) => open.extend(paths.into_iter().map(|path| (path, Some(span)))),
                Err(error) => self.unreadable.push(Unreadable { named_at: Some(span), path: pattern, error }),
            }
        }
        self.parsed.push(parsed);
    }
}

/// Reports what is wrong with the files as such.
pub fn report(context: &Context<'_>, parsed: &[Parsed], unreadable: &[Unreadable]) {
    for Unreadable { named_at, path, error } in unreadable {
        let message = format!("cannot read `{}`: {error}", path.display());
        let found = Diagnostic::error(Code::Unreadable, context.place(named_at.unwrap_or_default()), message);
        context.report(match named_at {
            None => Diagnostic { place: None, ..found },
            Some(_) => found.help("paths are relative to the file that includes them"),
        });
    }
    for (file, parsed) in parsed.iter().enumerate() {
        syntax::report(context, file, parsed);
        for item in parsed.table.get("include").map(|entry| one_or_many(&entry.value)).into_iter().flatten() {
            if !matches!(item.value, Value::String(_)) {
                wrong_type(context, item, "a path or a list of paths", Some("include = [\"sites/*.toml\"]".into()));
            }
        }
    }
}

/// One tree of all files' trees. Reports names that two files declare.
pub fn merge(context: &Context<'_>, tables: Vec<Table>) -> Table {
    let mut merged = Table::default();
    // Within one file the parser has already refused repeated keys.
    let several = tables.len() > 1;
    for entry in tables.into_iter().flat_map(|table| table.entries) {
        match merged.entries.iter_mut().find(|existing| existing.key == entry.key) {
            None => merged.entries.push(entry),
            Some(existing) => combine(context, existing, entry),
        }
    }
    for section in merged.entries.iter_mut().filter(|_| several) {
        let is_site = section.key == "site";
        if let Value::Table(table) = &mut section.value.value {
            drop_repeated(context, table, is_site);
        }
    }
    merged
}

/// Adds a second file's section to the first one's.
fn combine(context: &Context<'_>, existing: &mut Entry, entry: Entry) {
    match (&mut existing.value.value, entry.value.value) {
        (Value::Table(into), Value::Table(table)) => into.entries.extend(table.entries),
        // Each file has its own; they were followed when the files were read.
        _ if entry.key == "include" => {}
        (_, value) => {
            let node = Node { value, span: entry.value.span };
            let message =
                format!("`{}` is {} here and {} in another file", entry.key, node.value.describe(), existing.value.value.describe());
            let found = Diagnostic::error(Code::Duplicate, context.place(entry.key_span), message);
            context.report(found.note(context.place(existing.key_span), "the other one"));
        }
    }
}

/// Drops and reports names that an earlier file has too.
fn drop_repeated(context: &Context<'_>, table: &mut Table, is_site: bool) {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    table.entries.retain(|entry| match first.entry(entry.key.clone()) {
        Slot::Vacant(slot) => {
            slot.insert(entry.key_span);
            true
        }
        Slot::Occupied(earlier) => {
            let (code, message) = match is_site {
                true => (Code::SiteTwice, format!("two sites claim the name `{}`", entry.key)),
                false => (Code::Duplicate, format!("`{}` is written twice", entry.key)),
            };
            let found = Diagnostic::error(code, context.place(entry.key_span), message);
            context.report(found.note(context.place(*earlier.get()), "first here"));
            false
        }
    });
}

fn includes(table: &Table) -> impl Iterator<Item = (&str, Span)> {
    let items = table.get("include").map(|entry| one_or_many(&entry.value)).unwrap_or_default();
    items.iter().filter_map(|item| match &item.value {
        Value::String(pattern) => Some((&**pattern, item.span)),
        _ => None,
    })
}
