//! The configuration as written: values with spans, in file order, files merged. Independent of the TOML crate's lifetimes.

use crate::config::source::Span;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
    /// An integer beyond 64 bits.
    Vast,
}

/// Entries in file order; keys are unique.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// From a parsed file; `file` is its number.
    pub fn read(table: &DeTable<'_>, file: usize) -> Self {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry { key: key.get_ref().to_string(), key_span: span(key.span(), file), value: node(value, file) })
            .collect();
        entries.sort_by_key(|entry| entry.key_span);
        Self { entries }
    }
}

impl Value {
    /// With article, for messages.
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) | Self::Vast => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

fn span(range: std::ops::Range<usize>, file: usize) -> Span {
    Span { file, start: range.start, end: range.end }
}

fn node(value: &Spanned<DeValue<'_>>, file: usize) -> Node {
    let read = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Vast, Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(date) => Value::Datetime(date.to_string()),
        DeValue::Array(items) => Value::Array(array(items, file)),
        DeValue::Table(table) => Value::Table(Table::read(table, file)),
    };
    Node { value: read, span: span(value.span(), file) }
}

fn array(items: &DeArray<'_>, file: usize) -> Vec<Node> {
    items.iter().map(|item| node(item, file)).collect()
}
