//! Short forms that become links of bundled plugins: `limit`, `headers`, `strip`, `split`, `redirect`, `respond`.

use super::Context;
use super::json::settings;
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::{Reader, one_or_many, wrong_type};
use crate::config::forms::{self, Wrong};
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, LinkOrigin, LinkSpec, Location, PathMatch, PluginName, PluginRef, keys, pattern, units};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// A link of a bundled plugin; with the limits that `[plugin.x]` gives it, if it does.
fn link(
    context: &Context<'_>,
    plugin: &'static str,
    value: Json,
    at: BTreeMap<String, Location>,
    origin: LinkOrigin,
    span: Span,
) -> LinkSpec {
    let limited = context.names.has(Sort::Plugin, plugin) && context.names.bundled(plugin).is_some();
    if limited {
        context.names.mark(Sort::Plugin, plugin);
    }
    let plugin_ref = if limited { PluginRef::Declared(PluginName(plugin.into())) } else { PluginRef::Bundled(plugin) };
    LinkSpec { name: plugin.into(), plugin: plugin_ref, settings: value, settings_at: at, when: None, origin, at: context.location(span) }
}

/// `headers = { request = …, response = … }`.
pub fn headers(context: &Context<'_>, reader: &Reader<'_, '_>, origin: LinkOrigin) -> Option<LinkSpec> {
    let entry = reader.entry("headers")?;
    let table = reader.open_key("headers", &keys::HEADERS)?;
    for side in ["request", "response"] {
        if let Some(edits) = table.open_key(side, &keys::HEADER_EDITS) {
            check_edits(context, &edits);
        }
    }
    let Value::Table(written) = &entry.value.value else { return None };
    let made = settings(context, "headers", written.entries.iter(), entry.value.span);
    Some(link(context, "headers", made.value, made.at, origin, entry.key_span))
}

fn check_edits(context: &Context<'_>, edits: &Reader<'_, '_>) {
    for (key, names) in [("set", &keys::HEADER_VALUES), ("add", &keys::HEADER_LINES)] {
        let Some(table) = edits.open_key(key, names) else { continue };
        for entry in table.others() {
            context.form(&entry.key, entry.key_span, forms::header_name);
            let values = if key == "add" { one_or_many(&entry.value) } else { std::slice::from_ref(&entry.value) };
            for value in values {
                match &value.value {
                    Value::String(text) => drop(context.form(text, value.span, forms::header_value)),
                    Value::Table(_) => drop(Reader::open(context, value, &keys::SECRET, table.below(&entry.key))),
                    _ => wrong_type(context, value, "a string", Some(format!("{} = \"1\"", entry.key))),
                }
            }
        }
    }
    edits.list("remove", forms::header_name);
}

/// `limit = "100/s"`, `limit = { rate, burst, key, … }`: of each client unless `key` says otherwise, and of this site or route alone.
pub fn limit(context: &Context<'_>, reader: &Reader<'_, '_>, origin: LinkOrigin) -> Option<LinkSpec> {
    let entry = reader.entry("limit")?;
    let span = entry.value.span;
    let (mut value, at) = match &entry.value.value {
        Value::String(text) => (json!({ "rate": context.form(text, span, units::rate)? }), places(context, span, [("/rate", span)])),
        Value::Table(written) => {
            let table = reader.open_key("limit", &keys::LIMIT)?;
            if let Some(store) = table.entry("store")
                && let Value::String(name) = &store.value.value
                && !context.refer(Sort::Store, name, store.value.span)
            {
                return None;
            }
            table.form("rate", units::rate)?;
            let made = settings(context, "rate-limit", written.entries.iter(), span);
            (made.value, made.at)
        }
        _ => return reader.wrong("limit", &entry.value),
    };
    let own: &[&str] = if origin == LinkOrigin::Site { &["client.ip", "site"] } else { &["client.ip", "site", "route"] };
    if let Some(settings) = value.as_object_mut() {
        settings.entry("key").or_insert_with(|| json!(own));
    }
    Some(link(context, "rate-limit", value, at, origin, entry.key_span))
}

/// `strip = "/api"`.
pub fn strip(context: &Context<'_>, reader: &Reader<'_, '_>, path: &PathMatch) -> Option<LinkSpec> {
    let entry = reader.entry("strip")?;
    let prefix = reader.form("strip", |text| {
        if !text.starts_with('/') {
            return Err(Wrong::whole(text, "a path begins with `/`").help(format!("write \"/{text}\"")));
        }
        let prefix = pattern::normal(text).trim_end_matches('/').to_owned();
        if prefix.is_empty() { Err(Wrong::whole(text, "strips nothing")) } else { Ok(prefix) }
    })?;
    let begins = match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => {
            path.strip_prefix(&*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        // What a regular expression lets begin is not known; the plugin strips where it fits.
        PathMatch::Regex { .. } => true,
    };
    if let (false, PathMatch::Exact(path) | PathMatch::Prefix(path)) = (begins, path) {
        let message = format!("`{prefix}` is not a prefix of the route");
        let found = Diagnostic::error(Code::StripMismatch, context.place(entry.value.span), message);
        context.report(found.help(format!("paths of this route begin with `{path}{}`", if path.is_empty() { "/" } else { "" })));
    }
    let at = places(context, entry.value.span, [("/strip-prefix", entry.value.span)]);
    Some(link(context, "rewrite", json!({ "strip-prefix": prefix }), at, LinkOrigin::Route, entry.key_span))
}

/// `split = { a = 95, b = 5 }`.
pub fn split(context: &Context<'_>, reader: &Reader<'_, '_>) -> Option<LinkSpec> {
    let entry = reader.entry("split")?;
    let table = reader.open_key("split", &keys::SPLIT)?;
    let mut total = 0;
    for entry in table.others() {
        context.refer(Sort::Upstream, &entry.key, entry.key_span);
        match entry.value.value {
            Value::Integer(weight) if (0..=1_000_000).contains(&weight) => total += weight,
            Value::Integer(_) | Value::Vast => {
                total += 1; // one mistake, one message
                context.error(Code::BadValue, entry.value.span, "a weight is a whole number from 0 to 1000000").unwrap_or(())
            }
            _ => {
                total += 1;
                wrong_type(context, &entry.value, "a weight", Some("split = { app = 95, app-canary = 5 }".into()));
            }
        }
    }
    if total == 0 {
        return context.error(Code::BadValue, entry.value.span, "no upstream has a weight above 0");
    }
    let Value::Table(written) = &entry.value.value else { return None };
    let made = settings(context, "", written.entries.iter(), entry.value.span);
    let mut at: BTreeMap<_, _> = made.at.into_iter().map(|(pointer, at)| (below_split(&pointer), at)).collect();
    at.insert(String::new(), context.location(entry.value.span));
    Some(link(context, "route", json!({ "split": made.value }), at, LinkOrigin::Route, entry.key_span))
}

fn below_split(pointer: &str) -> String {
    match pointer.strip_prefix('#') {
        Some(pointer) => format!("#/split{pointer}"),
        None => format!("/split{pointer}"),
    }
}

/// `redirect = "/new/{rest}", status = 308`.
pub fn redirect(context: &Context<'_>, reader: &Reader<'_, '_>, path: &PathMatch) -> Option<LinkSpec> {
    let entry = reader.entry("redirect")?;
    let to = reader.form("redirect", |text| match text.starts_with(['/', '{']) || text.contains("://") {
        true => forms::header_value(text),
        false => {
            Err(Wrong::whole(text, "a redirect goes to a path or a URL").help("for example: /new/{rest} or https://example.com{path}"))
        }
    });
    let status = reader.entry("status").map(|entry| (entry.value.span, redirect_status(context, reader)));
    let mut places = vec![("/to", entry.value.span)];
    let mut settings = Map::new();
    settings.insert("to".into(), to?.into());
    if let Some((span, status)) = status {
        places.push(("/status", span));
        settings.insert("status".into(), status?.into());
    }
    if let PathMatch::Prefix(prefix) = path
        && !prefix.is_empty()
    {
        settings.insert("prefix".into(), prefix.clone().into());
    }
    let at = self::places(context, entry.value.span, places);
    Some(link(context, "redirect", settings.into(), at, LinkOrigin::Route, entry.key_span))
}

fn redirect_status(context: &Context<'_>, reader: &Reader<'_, '_>) -> Option<i64> {
    let status = reader.whole("status")?;
    if [301, 302, 303, 307, 308].contains(&status) {
        return Some(status);
    }
    let span = reader.get("status")?.span;
    context.error(Code::BadValue, span, format!("{status} is no redirect; there are 301, 302, 303, 307 and 308"))
}

/// `respond = "hello"`, `respond = 404`, `respond = { status, body, headers }`.
pub fn respond(context: &Context<'_>, reader: &Reader<'_, '_>) -> Option<LinkSpec> {
    let entry = reader.entry("respond")?;
    let span = entry.value.span;
    let (value, at) = match &entry.value {
        Node { value: Value::String(body), .. } => (json!({ "body": body }), places(context, span, [("/body", span)])),
        Node { value: Value::Integer(status), .. } if (200..=599).contains(status) => {
            (json!({ "status": status }), places(context, span, [("/status", span)]))
        }
        Node { value: Value::Integer(_) | Value::Vast, .. } => {
            return context.error(Code::BadValue, span, "a status is a whole number from 200 to 599");
        }
        Node { value: Value::Table(written), .. } => {
            let table = reader.open_key("respond", &keys::RESPOND)?;
            check_respond(context, &table);
            let made = settings(context, "respond", written.entries.iter(), span);
            (made.value, made.at)
        }
        other => return reader.wrong("respond", other),
    };
    Some(link(context, "respond", value, at, LinkOrigin::Route, entry.key_span))
}

fn check_respond(context: &Context<'_>, table: &Reader<'_, '_>) {
    table.whole("status");
    table.string("body");
    let Some(headers) = table.open_key("headers", &keys::RESPOND_HEADERS) else { return };
    for entry in headers.others() {
        context.form(&entry.key, entry.key_span, forms::header_name);
        match &entry.value.value {
            Value::String(text) => drop(context.form(text, entry.value.span, forms::header_value)),
            _ => wrong_type(context, &entry.value, "a string", Some(format!("{} = \"1\"", entry.key))),
        }
    }
}

fn places(context: &Context<'_>, whole: Span, parts: impl IntoIterator<Item = (&'static str, Span)>) -> BTreeMap<String, Location> {
    let parts = parts.into_iter().map(|(pointer, span)| (pointer.to_owned(), context.location(span)));
    parts.chain([(String::new(), context.location(whole))]).collect()
}
