//! `match` and `when`: methods, header fields, query parameters.

use super::Context;
use super::node::{Node, Value};
use super::reader::{Reader, wrong_type};
use crate::config::forms::{self, Wrong};
use crate::config::keys::{FIELDS, WHEN};
use crate::config::{FieldMatch, When, pattern};

/// `when = { … }` of a link.
pub fn when(context: &Context<'_>, link: &Reader<'_, '_>) -> Option<When> {
    let reader = link.open_key("when", &WHEN)?;
    Some(When {
        path: reader.form("path", |text| pattern::path(text, 0)),
        methods: methods(&reader),
        headers: headers(context, &reader),
        query: query(context, &reader),
    })
}

/// Sorted and without repetition, so that equal matches are equal.
pub fn methods(reader: &Reader<'_, '_>) -> Vec<http::Method> {
    let mut methods: Vec<_> = reader.list("method", forms::method).unwrap_or_default().into_iter().map(|(method, _)| method).collect();
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods
}

pub fn headers(context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<FieldMatch> {
    fields(context, reader, "header", forms::header_name, forms::header_value)
}

pub fn query(context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<FieldMatch> {
    fields(context, reader, "query", |name| Ok(name.to_owned()), |value| Ok(value.to_owned()))
}

/// Sorted by name, so that equal matches are equal.
fn fields(
    context: &Context<'_>,
    reader: &Reader<'_, '_>,
    key: &str,
    read_name: impl Fn(&str) -> Result<String, Wrong>,
    read_value: impl Fn(&str) -> Result<String, Wrong>,
) -> Vec<FieldMatch> {
    let Some(table) = reader.open_key(key, &FIELDS) else { return Vec::new() };
    let mut fields = Vec::new();
    for entry in table.others() {
        let name = context.form(&entry.key, entry.key_span, &read_name);
        let value = match &entry.value {
            Node { value: Value::String(text), span } => context.form(text, *span, &read_value).map(Some),
            Node { value: Value::Boolean(true), .. } => Some(None),
            other => {
                let example = format!("{} = \"1\", or true if it must only be there", entry.key);
                wrong_type(context, other, "a string or true", Some(example));
                None
            }
        };
        fields.extend(name.zip(value).map(|(name, value)| FieldMatch { name, value }));
    }
    fields.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
    fields
}
