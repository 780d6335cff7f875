//! `[trust]`, and `signed-by` of plugins.

use super::Context;
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::{Reader, one_or_many, wrong_type};
use crate::config::{Code, Diagnostic, KeptKey, Location, SigningKey, keys, trust};
use std::collections::BTreeMap;

/// `[trust]` as meant.
#[derive(Default)]
pub struct Trust {
    keys: BTreeMap<String, SigningKey>,
    /// Plugins without a signature are refused.
    pub refuses_unsigned: bool,
}

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>) -> Trust {
    let Some(reader) = root.open_key("trust", &keys::TRUST) else { return Trust::default() };
    let mut trust = Trust { refuses_unsigned: reader.choice("unsigned") == Some(1), ..Trust::default() };
    let Some(table) = reader.open_key("keys", &keys::SIGNING_KEYS) else { return trust };
    for entry in table.others() {
        let name = context.form(&entry.key, entry.key_span, crate::config::forms::name);
        if trust.refuses_unsigned {
            // They count for every plugin that names none.
            context.names.mark(Sort::SigningKey, &entry.key);
        }
        let key = key(context, &entry.value, name.clone(), table.below(&entry.key));
        trust.keys.extend(name.zip(key));
    }
    trust
}

/// One key: base64, or a table that names a file.
fn key(context: &Context<'_>, node: &Node, name: Option<String>, path: String) -> Option<SigningKey> {
    let kept = match &node.value {
        Value::String(text) => KeptKey::Here(context.form(text, node.span, trust::public_key)?),
        Value::Table(_) => {
            let reader = Reader::open(context, node, &keys::KEY_FILE, path)?;
            let (path, span) = reader.string("file")?;
            KeptKey::File(context.sources.resolve(span.file, path))
        }
        _ => {
            wrong_type(context, node, "a minisign public key or { file = \"….pub\" }", None);
            return None;
        }
    };
    Some(SigningKey { name, kept, at: context.location(node.span) })
}

impl Trust {
    /// Whose signature a plugin must have; nobody's if this is empty.
    pub fn of(&self, context: &Context<'_>, plugin: &Reader<'_, '_>) -> Vec<SigningKey> {
        let Some(node) = plugin.get("signed-by") else {
            return self.by_default_at(context, &context.location(plugin.span), &plugin.section());
        };
        let mut signers = Vec::new();
        for item in one_or_many(node) {
            signers.extend(match &item.value {
                Value::String(text) if !looks_like_key(text) => self.named(context, text, item),
                _ => key(context, item, None, plugin.below("signed-by")),
            });
        }
        if one_or_many(node).is_empty() {
            context.error::<()>(Code::BadValue, node.span, "names no key, so that nothing could be signed by it; leave it out");
        }
        signers
    }

    fn named(&self, context: &Context<'_>, name: &str, item: &Node) -> Option<SigningKey> {
        context.refer(Sort::SigningKey, name, item.span).then(|| self.keys.get(name).cloned()).flatten()
    }

    /// For a component that is only a path.
    pub fn by_default_at(&self, context: &Context<'_>, at: &Location, what: &str) -> Vec<SigningKey> {
        let everybody: Vec<_> = if self.refuses_unsigned { self.keys.values().cloned().collect() } else { Vec::new() };
        if self.refuses_unsigned && everybody.is_empty() {
            let message = format!("{what} is signed by nobody, and [trust] refuses unsigned plugins");
            let found = Diagnostic::error(Code::Unsigned, at.clone().into(), message);
            context.report(found.help("add: signed-by = [\"RWQ…\"], or [trust] keys for all plugins"));
        }
        everybody
    }
}

/// No name is as long as a key, and all keys begin alike.
fn looks_like_key(text: &str) -> bool {
    text.starts_with("RW") && text.len() > 40 || text.contains(['+', '/', '='])
}
