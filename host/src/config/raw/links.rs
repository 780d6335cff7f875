//! One link of a chain: `"request-id"`, `"@edge"`, or `{ use = "jwt", as = "admin", when = {…}, config = {…} }`.

use super::Context;
use super::fields;
use super::json::{Settings, settings};
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::{Reader, wrong_type};
use crate::config::forms::{self, Wrong};
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, LinkOrigin, LinkSpec, PluginRef, keys};

/// What stands in a chain.
#[derive(Debug, Clone)]
pub enum Item {
    /// Its origin is only known where the chain is used.
    Link(Box<LinkSpec>),
    /// `"@name"`, which exists.
    Chain(String, Span),
}

/// Reads one element of a chain; `path` is the chain's.
pub fn item(context: &Context<'_>, node: &Node, path: &str) -> Option<Item> {
    match &node.value {
        Value::String(text) => short(context, text, node.span),
        Value::Table(_) => {
            let reader = Reader::open(context, node, &keys::LINK, path.to_owned())?;
            let link = long(context, &reader, node);
            if link.is_none() {
                context.lose_link(lost_name(&reader));
            }
            link.map(|link| Item::Link(Box::new(link)))
        }
        _ => {
            let example = "chain = [\"request-id\", \"@edge\", { use = \"headers\", … }]";
            wrong_type(context, node, "a plugin's name, \"@chain\" or a table", Some(example.into()));
            None
        }
    }
}

fn short(context: &Context<'_>, text: &str, span: Span) -> Option<Item> {
    if let Some(chain) = text.strip_prefix('@') {
        let known = context.refer(Sort::Chain, chain, context.sources.inside(span, 1..text.len()));
        if !known {
            context.lose_link("*");
        }
        return known.then(|| Item::Chain(chain.to_owned(), span));
    }
    let Some(plugin) = context.plugin(text, span) else {
        context.lose_link(text);
        return None;
    };
    let Settings { value, at } = settings(context, text, std::iter::empty(), span);
    Some(Item::Link(Box::new(LinkSpec {
        name: text.to_owned(),
        plugin,
        settings: value,
        settings_at: at,
        when: None,
        origin: LinkOrigin::Route,
        at: context.location(span),
    })))
}

fn long(context: &Context<'_>, reader: &Reader<'_, '_>, node: &Node) -> Option<LinkSpec> {
    let when = fields::when(context, reader);
    let called = reader.form("as", link_name);
    let (plugin_name, span) = reader.string("use")?;
    if plugin_name.starts_with('@') {
        let found = Diagnostic::error(Code::Conflict, context.place(span), "a named chain takes no settings");
        context.report(found.help(format!("write \"{plugin_name}\" alone")));
        return None;
    }
    let plugin = context.plugin(plugin_name, span);
    // Where a plugin is not known, nor are the keys that it takes.
    let takes_keys = plugin.is_none() || context.names.bundled(plugin_name).is_some();
    let Settings { value, at } = link_settings(context, reader, node, plugin_name, takes_keys)?;
    let name = called.unwrap_or_else(|| plugin_name.to_owned());
    Some(LinkSpec {
        name,
        plugin: plugin?,
        settings: value,
        settings_at: at,
        when,
        origin: LinkOrigin::Route,
        at: context.location(node.span),
    })
}

fn link_settings(context: &Context<'_>, reader: &Reader<'_, '_>, node: &Node, plugin: &str, takes_keys: bool) -> Option<Settings> {
    let own: Vec<_> = reader.others().collect();
    let config = reader.entry("config");
    if !own.is_empty() && !takes_keys {
        for entry in &own {
            let message = format!("unknown key `{}` in a link of {}", entry.key, reader.section());
            let found = Diagnostic::error(Code::UnknownKey, context.place(entry.key_span), message);
            let near = super::reader::nearest(&entry.key, keys::LINK.keys.iter().map(|key| key.name));
            let found = Diagnostic { label: near.map(|near| format!("did you mean `{near}`?")), ..found };
            context.report(
                found
                    .help(format!("keys here: {}", keys::LINK.list(|_| 0.0)))
                    .help(format!("settings of `{plugin}` go into config = {{ … }}")),
            );
        }
        return None;
    }
    match (config, own.first()) {
        (None, _) => Some(settings(context, plugin, own.into_iter(), node.span)),
        (Some(config), None) => match &config.value.value {
            Value::Table(table) => Some(settings(context, plugin, table.entries.iter(), config.value.span)),
            _ => reader.wrong("config", &config.value),
        },
        (Some(config), Some(first)) => {
            let found =
                Diagnostic::error(Code::Conflict, context.place(config.key_span), "settings stand either in `config` or beside `use`");
            context.report(found.note(context.place(first.key_span), "beside `use`"));
            None
        }
    }
}

fn link_name(text: &str) -> Result<String, Wrong> {
    forms::plugin_name(text)
}

fn lost_name<'n>(reader: &Reader<'n, '_>) -> &'n str {
    let name = reader.get("as").or_else(|| reader.get("use")).map(|node| &node.value);
    match name {
        Some(Value::String(name)) => name,
        _ => "*",
    }
}

/// Whether a link can end a request phase other than by `next`: of the bundled ones, we know.
pub fn may_answer(context: &Context<'_>, link: &LinkSpec) -> bool {
    match &link.plugin {
        PluginRef::Bundled(name) => matches!(*name, "redirect" | "respond" | "route"),
        PluginRef::Declared(name) => context.names.bundled(&name.0).is_none_or(|name| matches!(name, "redirect" | "respond" | "route")),
    }
}
