//! One file: TOML with spans, the first syntax error, and every duplicate key before it.

use super::Context;
use super::node::Table;
use crate::config::source::Span;
use crate::config::{Code, Diagnostic};
use toml::de::{DeTable, DeValue, Error};

/// Finding where a duplicate was first written costs a parse each; more than this many are shown without.
const TRACED: usize = 16;

/// A file as far as it could be read.
pub struct Parsed {
    pub table: Table,
    errors: Vec<Error>,
}

/// Reads the text of file number `file`. What can be read is read even after a syntax error.
pub fn parse(text: &str, file: usize) -> Parsed {
    let (table, errors) = DeTable::parse_recoverable(text);
    Parsed { table: Table::read(table.get_ref(), file), errors }
}

/// Reports the first syntax error of a file and every duplicate key before it.
pub fn report(context: &Context<'_>, file: usize, parsed: &Parsed) {
    let Some(source) = context.sources.file(file) else { return };
    let at = |error: &Error| error.span().unwrap_or_default();
    let duplicate = |error: &&Error| error.message() == "duplicate key";
    let first = parsed.errors.iter().filter(|error| !duplicate(error)).min_by_key(|error| at(error).start);
    // One missing bracket makes a dozen errors; those after the first say little.
    let end = first.map_or(usize::MAX, |error| at(error).start);
    let mut repeated = None;
    for (index, error) in parsed.errors.iter().filter(duplicate).filter(|error| at(error).start < end).enumerate() {
        let span = at(error);
        // What stands under a header that is written twice is repeated with it.
        if repeated.is_some_and(|end| span.start < end) {
            continue;
        }
        if header_line(&source.text, span.start).is_some() {
            repeated = Some(next_header(&source.text, span.end));
        }
        let earlier = if index < TRACED { earlier(&source.text, span.clone()) } else { None };
        context.report(duplicated(context, Span { file, start: span.start, end: span.end }, earlier));
    }
    if let Some(error) = first {
        let span = at(error);
        for error in parsed.errors.iter().filter(|error| !duplicate(error)) {
            let start = at(error).start;
            context.broken(Span { file, start, end: next_header(&source.text, start) });
        }
        let place = context.place(Span { file, start: span.start, end: span.end });
        let message = if error.message().is_empty() { "not TOML" } else { error.message() };
        context.report(Diagnostic::error(Code::Syntax, place, message));
    }
}

/// Where a duplicate key stands first, and the path of the table around it.
struct Earlier {
    span: std::ops::Range<usize>,
    path: Vec<String>,
}

fn duplicated(context: &Context<'_>, span: Span, earlier: Option<Earlier>) -> Diagnostic {
    let key = context.sources.text(span).trim_matches(['"', '\'']).to_owned();
    let whole = context.sources.file(span.file).and_then(|source| header_line(&source.text, span.start));
    let key = if let (Some(header), true) = (whole, earlier.as_ref().is_none_or(|earlier| earlier.path != ["site"])) {
        header.to_owned()
    } else {
        key
    };
    let site = earlier.as_ref().is_some_and(|earlier| earlier.path == ["site"]);
    let (code, message) = if site {
        (Code::SiteTwice, format!("two sites claim the name `{key}`"))
    } else {
        (Code::Duplicate, format!("`{key}` is written twice"))
    };
    let found = Diagnostic::error(code, context.place(span), message);
    match earlier {
        None => found,
        Some(Earlier { span: first, .. }) => found
            .note(context.place(Span { start: first.start, end: first.end, ..span }), if site { "the other one" } else { "first here" }),
    }
}

/// The header that byte `at` is part of.
fn header_line(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?.trim();
    let end = line.rfind(']')?;
    line.get(..=end).filter(|line| line.starts_with('['))
}

/// Where the next line that begins with a bracket begins, or the text ends. Continued arrays are indented by most people.
fn next_header(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.find("\n[").map_or(text.len() + 1, |at| from + at + 1)
}

/// The parser does not say where the first of two keys stands. With the second one renamed, the tree does.
fn earlier(text: &str, duplicate: std::ops::Range<usize>) -> Option<Earlier> {
    let length = duplicate.len();
    let written = text.get(duplicate.clone())?;
    for c in ['_', '-', 'Z', 'Q', 'X', '9'] {
        let name: String = std::iter::repeat_n(c, length).collect();
        let renamed = format!("{}{name}{}", text.get(..duplicate.start)?, text.get(duplicate.end..)?);
        let (table, _) = DeTable::parse_recoverable(&renamed);
        if let Some((parent, path)) = parent_of(table.get_ref(), duplicate.start, &mut Vec::new()) {
            let key = written.trim_matches(['"', '\'']);
            return parent.keys().find(|candidate| candidate.get_ref() == key).map(|first| Earlier { span: first.span(), path });
        }
    }
    None
}

/// The table that has a key at byte `at`, and its path.
fn parent_of<'t, 'i>(table: &'t DeTable<'i>, at: usize, path: &mut Vec<String>) -> Option<(&'t DeTable<'i>, Vec<String>)> {
    if table.keys().any(|key| key.span().start == at) {
        return Some((table, path.clone()));
    }
    for (key, value) in table.iter() {
        path.push(key.get_ref().to_string());
        let found = parent_within(value.get_ref(), at, path);
        path.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}

fn parent_within<'t, 'i>(value: &'t DeValue<'i>, at: usize, path: &mut Vec<String>) -> Option<(&'t DeTable<'i>, Vec<String>)> {
    match value {
        DeValue::Table(table) => parent_of(table, at, path),
        DeValue::Array(items) => items.iter().find_map(|item| parent_within(item.get_ref(), at, path)),
        _ => None,
    }
}
