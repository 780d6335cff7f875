//! Reading a table by its description in `keys`: unknown keys, keys of later versions, missing ones, wrong types.

use super::Context;
use super::node::{Entry, Node, Table, Value};
use crate::config::forms::Wrong;
use crate::config::keys::{Key, Keys, Kind};
use crate::config::source::Span;
use crate::config::{Code, Diagnostic};
use std::time::Duration;

/// A table whose keys are known to be those of its description.
pub struct Reader<'n, 'c> {
    context: &'c Context<'c>,
    keys: &'static Keys,
    table: &'n Table,
    /// Of the header or the braces.
    pub span: Span,
    /// As in a header: `upstream.app`. Empty for the root.
    pub path: String,
}

impl<'n, 'c> Reader<'n, 'c> {
    /// Opens a value that must be a table.
    pub fn open(context: &'c Context<'c>, node: &'n Node, keys: &'static Keys, path: String) -> Option<Self> {
        Self::open_as(context, node, keys, path, "a table", None)
    }

    /// Opens a value that must be a table; `wanted` and a whole assignment as example are for the message if it is none.
    pub fn open_as(
        context: &'c Context<'c>,
        node: &'n Node,
        keys: &'static Keys,
        path: String,
        wanted: &str,
        example: Option<String>,
    ) -> Option<Self> {
        match &node.value {
            Value::Table(table) => Some(Self::table(context, table, context.header(node), keys, path)),
            _ => {
                wrong_type(context, node, wanted, example);
                None
            }
        }
    }

    /// Opens a table, reporting unknown, later and missing keys.
    pub fn table(context: &'c Context<'c>, table: &'n Table, span: Span, keys: &'static Keys, path: String) -> Self {
        let reader = Self { context, keys, table, span, path };
        reader.check_keys();
        reader
    }

    fn check_keys(&self) {
        for entry in &self.table.entries {
            if self.keys.later.contains(&&*entry.key) {
                let message = format!("`{}` in {} is not in this version", entry.key, self.section());
                self.context.report(Diagnostic::error(Code::NotYet, self.context.place(entry.key_span), message).help("leave it out"));
            } else if self.keys.open.is_none() && self.keys.find(&entry.key).is_none() {
                self.context.report(self.unknown(entry));
            }
        }
        self.needs_all(self.keys.keys.iter().filter(|key| key.required));
    }

    /// Reports which of these keys are missing, where others than the described ones need them.
    pub fn needs(&self, names: &[&str]) {
        self.needs_all(self.keys.keys.iter().filter(|key| names.contains(&key.name)));
    }

    fn needs_all(&self, needed: impl Iterator<Item = &'static Key>) {
        let later = self.table.entries.iter().any(|entry| self.keys.later.contains(&&*entry.key));
        let misspelt =
            |key: &Key| self.others().any(|entry| nearest(&entry.key, self.keys.keys.iter().map(|key| key.name)) == Some(key.name));
        for key in needed.filter(|key| self.table.get(key.name).is_none()) {
            // Said already, in another way.
            if later || misspelt(key) {
                continue;
            }
            // After a syntax error, what seems missing may only not have been understood.
            if self.context.is_broken(self.span.file) {
                continue;
            }
            let found = Diagnostic::error(Code::Missing, self.context.place(self.span), format!("{} needs `{}`", self.section(), key.name));
            self.context.report(found.help(format!("for example: {} = {}", key.name, key.example)));
        }
    }

    fn unknown(&self, entry: &Entry) -> Diagnostic {
        let message = format!("unknown key `{}` in {}", entry.key, self.section());
        let found = Diagnostic::error(Code::UnknownKey, self.context.place(entry.key_span), message);
        let known = self.keys.keys.iter().map(|key| key.name);
        let mut found = match nearest(&entry.key, known.chain(self.keys.later.iter().copied())) {
            Some(near) if self.keys.later.contains(&near) => found.label(format!("did you mean `{near}`? (not in this version)")),
            Some(near) => found.label(format!("did you mean `{near}`?")),
            None => found,
        };
        if !self.keys.keys.is_empty() {
            found.help.push(format!("keys here: {}", self.keys.list(|name| likeness(&entry.key, name))));
        }
        found
    }

    /// `[upstream.app]`, or `the file` for the root.
    pub fn section(&self) -> String {
        if self.path.is_empty() { "the file".into() } else { format!("[{}]", self.path) }
    }

    /// The entries, in file order, that are not among the described keys.
    pub fn others(&self) -> impl Iterator<Item = &'n Entry> {
        let keys = self.keys;
        self.table.entries.iter().filter(move |entry| keys.find(&entry.key).is_none() && !keys.later.contains(&&*entry.key))
    }

    /// The entry of a described key.
    pub fn entry(&self, name: &str) -> Option<&'n Entry> {
        debug_assert!(self.keys.find(name).is_some(), "`{name}` is not described in keys::{}", self.keys.name);
        self.table.get(name)
    }

    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The path of a key below this table, as in a header.
    pub fn below(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Opens the table under a key.
    pub fn open_key(&self, name: &str, keys: &'static Keys) -> Option<Reader<'n, 'c>> {
        let key = self.keys.find(name)?;
        let example = format!("{name} = {}", key.example);
        Reader::open_as(self.context, self.get(name)?, keys, self.below(name), &key.kind.describe(), Some(example))
    }

    /// Says that the value of a key has the wrong type, from the key's description.
    pub fn wrong<T>(&self, name: &str, node: &Node) -> Option<T> {
        if let Some(key) = self.keys.find(name) {
            wrong_type(self.context, node, &key.kind.describe(), Some(format!("{} = {}", key.name, key.example)));
        }
        None
    }

    pub fn string(&self, name: &str) -> Option<(&'n str, Span)> {
        let node = self.get(name)?;
        match &node.value {
            Value::String(text) => Some((text, node.span)),
            _ => self.wrong(name, node),
        }
    }

    /// A string read by one of the small grammars.
    pub fn form<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let (text, span) = self.string(name)?;
        self.context.form(text, span, read)
    }

    /// A duration of at least `least`.
    pub fn duration(&self, name: &str, least: Duration) -> Option<Duration> {
        self.form(name, |text| {
            let time = crate::config::units::duration(text)?;
            if time < least {
                return Err(Wrong::whole(text, format!("at least {}", crate::config::units::show_duration(least))));
            }
            Ok(time)
        })
    }

    /// One of the words that the description lists; their number.
    pub fn choice(&self, name: &str) -> Option<usize> {
        let key = self.keys.find(name)?;
        let Kind::Choice(choices) = &key.kind else { return None };
        let (text, span) = self.string(name)?;
        chosen(self.context, text, span, choices)
    }

    /// `true` or `false`.
    pub fn truth(&self, name: &str) -> Option<bool> {
        let node = self.get(name)?;
        match node.value {
            Value::Boolean(truth) => Some(truth),
            _ => self.wrong(name, node),
        }
    }

    /// A whole number within the described bounds.
    pub fn whole(&self, name: &str) -> Option<i64> {
        let node = self.get(name)?;
        match (&self.keys.find(name)?.kind, &node.value) {
            (Kind::Whole(least, most), Value::Integer(number)) if (least..=most).contains(&number) => Some(*number),
            (Kind::Whole(least, most), Value::Integer(_) | Value::Vast) => {
                self.context.error(Code::BadValue, node.span, format!("`{name}` is a whole number from {least} to {most}"))
            }
            _ => self.wrong(name, node),
        }
    }

    /// One string or a list of strings, each read by a small grammar. What is wrong is reported and left out.
    pub fn list<T>(&self, name: &str, mut read: impl FnMut(&str) -> Result<T, Wrong>) -> Option<Vec<(T, Span)>> {
        let node = self.get(name)?;
        let mut items = Vec::new();
        for item in one_or_many(node) {
            match &item.value {
                Value::String(text) => items.extend(self.context.form(text, item.span, &mut read).map(|value| (value, item.span))),
                _ => self.wrong(name, item)?,
            }
        }
        Some(items)
    }
}

/// The items of a list, or the one value.
pub fn one_or_many(node: &Node) -> &[Node] {
    match &node.value {
        Value::Array(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// The number of a word in a list of choices.
pub fn chosen(context: &Context<'_>, text: &str, span: Span, choices: &[&'static str]) -> Option<usize> {
    let found = choices.iter().position(|choice| *choice == text);
    if found.is_none() {
        let mut wrong = Diagnostic::error(Code::BadValue, context.place(span), format!("`{text}` is no choice here"));
        wrong.label = nearest(text, choices.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
        context.report(wrong.help(format!("choices: {}", choices.join(", "))));
    }
    found
}

/// Reports a value of the wrong type; `example` is a whole assignment.
pub fn wrong_type(context: &Context<'_>, node: &Node, wanted: &str, example: Option<String>) {
    if matches!(node.value, Value::Vast) {
        return context.error(Code::BadValue, node.span, "a number has at most 64 bits").unwrap_or_default();
    }
    let found = Diagnostic::error(Code::WrongType, context.place(node.span), format!("{} where {wanted} is wanted", node.value.describe()));
    context.report(match example {
        Some(example) => found.help(format!("for example: {example}")),
        None => found,
    });
}

/// The name most like `wrong`, if one is like it at all.
pub fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Below this, what Jaro-Winkler finds looks like another word: chosen by trying misspelt keys.
    const LIKE: f64 = 0.75;
    let scored = names.map(|name| (likeness(wrong, name), name));
    scored.filter(|(score, _)| *score > LIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// 0 to 1. Jaro-Winkler sees nothing in `jtw` for `jwt`: in short names, one slip counts as alike too.
pub fn likeness(wrong: &str, name: &str) -> f64 {
    let (wrong, name) = (wrong.to_lowercase(), name.to_lowercase());
    let slip = name.chars().count() >= 3 && strsim::osa_distance(&wrong, &name) == 1;
    strsim::jaro_winkler(&wrong, &name).max(if slip { 0.9 } else { 0.0 })
}

/// Joins a key to a path as a header would have it: bare if it can be.
pub fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let key = if bare { key.to_owned() } else { format!("\"{key}\"") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
