//! A link's settings as JSON, with the place of each value, and secrets fetched from where they are kept.

use super::Context;
use super::names::Sort;
use super::node::{Entry, Node, Table, Value};
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, Location};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// Settings and, by JSON pointer, where each value was written; by `#` and pointer, where its key was;
/// by `!` and pointer, what was fetched and must not be shown.
#[derive(Debug, Clone)]
pub struct Settings {
    pub value: Json,
    pub at: BTreeMap<String, Location>,
}

/// Settings of `plugin` from table entries; `span` is the place of the whole.
pub fn settings<'n>(context: &Context<'_>, plugin: &str, entries: impl Iterator<Item = &'n Entry>, span: Span) -> Settings {
    let mut reading = Reading { context, plugin, at: BTreeMap::from([(String::new(), context.location(span))]) };
    let value = reading.object(entries, "");
    Settings { value, at: reading.at }
}

/// A secret: fetched from where it is kept, or, with a warning, the text itself.
pub fn secret(context: &Context<'_>, table: &super::reader::Reader<'_, '_>, entry: &Entry) -> Option<String> {
    let reading = Reading { context, plugin: "", at: BTreeMap::new() };
    match &entry.value.value {
        Value::String(text) => {
            reading.tell_of_secret(entry);
            Some(text.clone())
        }
        Value::Table(kept) => match reading.reference(kept, "") {
            Some(secret) => secret.as_str().map(str::to_owned),
            None => table.wrong(&entry.key, &entry.value),
        },
        _ => table.wrong(&entry.key, &entry.value),
    }
}

struct Reading<'r, 'c> {
    context: &'r Context<'c>,
    plugin: &'r str,
    at: BTreeMap<String, Location>,
}

impl Reading<'_, '_> {
    fn object<'n>(&mut self, entries: impl Iterator<Item = &'n Entry>, pointer: &str) -> Json {
        let mut object = Map::new();
        for entry in entries {
            let pointer = format!("{pointer}/{}", entry.key.replace('~', "~0").replace('/', "~1"));
            self.at.insert(format!("#{pointer}"), self.context.location(entry.key_span));
            self.warn_of_secret(entry);
            self.mark(&entry.key);
            object.insert(entry.key.clone(), self.value(&entry.value, &pointer));
        }
        Json::Object(object)
    }

    fn value(&mut self, node: &Node, pointer: &str) -> Json {
        self.at.insert(pointer.to_owned(), self.context.location(node.span));
        match &node.value {
            Value::String(text) => {
                self.mark(text);
                Json::from(&**text)
            }
            Value::Datetime(date) => Json::from(&**date),
            Value::Integer(number) => Json::from(*number),
            Value::Boolean(truth) => Json::from(*truth),
            Value::Float(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => Json::Number(number),
                None => self.refuse(node, "settings are JSON, which has no such number"),
            },
            Value::Vast => self.refuse(node, "a number has at most 64 bits"),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| self.value(item, &format!("{pointer}/{index}"))).collect::<Vec<_>>().into()
            }
            Value::Table(table) => match self.reference(table, pointer) {
                Some(secret) => {
                    self.at.insert(format!("!{pointer}"), self.context.location(node.span));
                    secret
                }
                None => self.object(table.entries.iter(), pointer),
            },
        }
    }

    /// Which settings name upstreams and stores is only known from the plugin's schema; until then, each that could counts as a use.
    fn mark(&self, name: &str) {
        for sort in [Sort::Upstream, Sort::Store] {
            if self.context.names.has(sort, name) {
                self.context.names.mark(sort, name);
            }
        }
    }

    fn refuse(&self, node: &Node, message: &str) -> Json {
        self.context.error::<()>(Code::BadValue, node.span, message);
        Json::Null
    }

    /// What `{ env = "X" }` or `{ file = "…" }` stands for. Not where keys are names of the operator's: a header may be called `env`.
    fn reference(&self, table: &Table, pointer: &str) -> Option<Json> {
        let [Entry { key, value: Node { value: Value::String(name), span }, .. }] = &*table.entries else { return None };
        if !matches!(&**key, "env" | "file") || holds_names(self.plugin, pointer) {
            return None;
        }
        let secret = if key == "env" { self.variable(name, *span) } else { self.file(name, *span) };
        Some(secret.map_or(Json::Null, Json::from))
    }

    fn variable(&self, name: &str, span: Span) -> Option<String> {
        let found = self.context.around.variable(name);
        found.or_else(|| self.context.error(Code::SecretMissing, span, format!("the environment variable `{name}` is not set")))
    }

    fn file(&self, name: &str, span: Span) -> Option<String> {
        let path = self.context.sources.resolve(span.file, name);
        match self.context.around.read(&path) {
            Err(error) => self.context.error(Code::SecretMissing, span, format!("cannot read `{}`: {error}", path.display())),
            Ok(mut text) => {
                // Editors end files with a line break that is no part of the secret.
                if text.ends_with('\n') {
                    text.pop();
                    text.truncate(text.trim_end_matches('\r').len());
                }
                Some(text)
            }
        }
    }

    fn warn_of_secret(&self, entry: &Entry) {
        let Value::String(text) = &entry.value.value else { return };
        // With a placeholder it is not the secret itself.
        if text.is_empty() || text.contains('{') || !sounds_secret(&entry.key) {
            return;
        }
        self.tell_of_secret(entry);
    }

    fn tell_of_secret(&self, entry: &Entry) {
        let message = format!("`{}` looks like a secret in plain text", entry.key);
        let found = Diagnostic::warning(Code::PlainSecret, self.context.place(entry.value.span), message);
        let name = entry.key.to_uppercase().replace('-', "_");
        self.context
            .report(found.help(format!("write {} = {{ env = \"{name}\" }} or {{ file = \"/run/secrets/{}\" }}", entry.key, entry.key)));
    }
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('_', "-");
    let word = |word: &str| matches!(word, "password" | "passwd" | "passphrase" | "secret" | "token" | "apikey");
    key.split('-').any(word) || key.ends_with("api-key") || key.ends_with("private-key") || key == "authorization"
}

/// Where the bundled plugins take names of the operator's as keys.
fn holds_names(plugin: &str, pointer: &str) -> bool {
    match plugin {
        "headers" => pointer.ends_with("/set") || pointer.ends_with("/add"),
        "rewrite" => matches!(pointer, "/query/set" | "/query/add"),
        "respond" => pointer == "/headers",
        "maintenance" => pointer == "/header",
        "basic-auth" => pointer == "/users",
        "geo-header" => pointer == "/networks",
        "jwt" => matches!(pointer, "/claims" | "/require"),
        "route" => pointer == "/split" || ["/header", "/cookie", "/query"].iter().any(|end| pointer.ends_with(end)),
        _ => false,
    }
}
