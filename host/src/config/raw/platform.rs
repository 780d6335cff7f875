//! `[kv.x]`, `[secret]`, and `allow`, which grants them.

use super::Context;
use super::build::section;
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::{Reader, wrong_type};
use crate::config::forms::{self, Wrong};
use crate::config::source::Span;
use crate::config::{Allow, Code, Secret, StoreBackend, StoreName, StoreSpec, UpstreamName, keys, units};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a store in memory may hold unless it is written: enough for some hundred thousand counters.
const MEMORY: usize = 64 << 20;

/// How long a guest waits for Redis unless it is written: a request that needs it can still be answered in time.
const TIMEOUT: Duration = Duration::from_millis(500);

pub fn stores(context: &Context<'_>, root: &Reader<'_, '_>) -> BTreeMap<StoreName, StoreSpec> {
    let mut stores = BTreeMap::new();
    for (name, node, key_span, path) in section(root, "kv") {
        let named = context.form(name, key_span, forms::name);
        let backend = match &node.value {
            Value::String(text) => place(context, text, node.span).map(|place| place.with(name, None, None, None)),
            _ => store(context, node, path, name),
        };
        if let (Some(name), Some(backend)) = (named, backend) {
            stores.insert(StoreName(name), StoreSpec { backend, at: context.location(key_span) });
        }
    }
    stores
}

fn store(context: &Context<'_>, node: &Node, path: String, name: &str) -> Option<StoreBackend> {
    let example = Some(format!("{name} = \"memory\""));
    let reader = Reader::open_as(context, node, &keys::STORE, path, "\"memory\", a redis:// URL or a table", example)?;
    let memory = reader.form("memory", |text| {
        let bytes = units::size(text)?;
        usize::try_from(bytes).ok().filter(|bytes| *bytes >= 1 << 20).ok_or_else(|| Wrong::whole(text, "a store has at least 1MiB"))
    });
    let timeout = reader.duration("timeout", Duration::from_millis(1));
    let prefix = reader.string("prefix").map(|(text, _)| text.to_owned());
    let place = match reader.entry("store") {
        None => Place::Memory,
        Some(entry) => match &entry.value.value {
            Value::String(text) => place(context, text, entry.value.span)?,
            // A URL with a password in it is a secret as a whole.
            Value::Table(_) => {
                let url = super::json::secret(context, &reader, entry)?;
                redis(context, &url, entry.value.span)?
            }
            _ => return reader.wrong("store", &entry.value),
        },
    };
    let misplaced: &[&str] = if let Place::Memory = place { &["timeout", "prefix"] } else { &["memory"] };
    for key in misplaced {
        if let Some(entry) = reader.entry(key) {
            let what = if let Place::Memory = place { "in memory" } else { "in Redis" };
            context.error::<()>(Code::Conflict, entry.key_span, format!("`{key}` says nothing about a store {what}"));
        }
    }
    Some(place.with(name, memory, prefix, timeout))
}

enum Place {
    Memory,
    Redis(String),
}

impl Place {
    fn with(self, name: &str, memory: Option<usize>, prefix: Option<String>, timeout: Option<Duration>) -> StoreBackend {
        match self {
            Self::Memory => StoreBackend::Memory { bytes: memory.unwrap_or(MEMORY) },
            Self::Redis(url) => StoreBackend::Redis {
                url,
                prefix: prefix.unwrap_or_else(|| format!("portcullis:{name}:")),
                timeout: timeout.unwrap_or(TIMEOUT),
            },
        }
    }
}

fn place(context: &Context<'_>, text: &str, span: Span) -> Option<Place> {
    if text == "memory" {
        return Some(Place::Memory);
    }
    redis(context, text, span)
}

fn redis(context: &Context<'_>, text: &str, span: Span) -> Option<Place> {
    context.form(text, span, |text| {
        let known =
            ["redis://", "rediss://", "redis+unix://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if known { Ok(Place::Redis(text.to_owned())) } else { Err(Wrong::whole(text, "a store is \"memory\", or redis://host:port/0")) }
    })
}

pub fn secrets(context: &Context<'_>, root: &Reader<'_, '_>) -> BTreeMap<String, Secret> {
    let mut secrets = BTreeMap::new();
    let Some(Node { value: Value::Table(table), .. }) = root.get("secret") else {
        if let Some(node) = root.get("secret") {
            root.wrong::<()>("secret", node);
        }
        return secrets;
    };
    let Some(reader) = root.open_key("secret", &keys::SECRETS) else { return secrets };
    for entry in &table.entries {
        let Some(name) = context.form(&entry.key, entry.key_span, forms::name) else { continue };
        if !matches!(entry.value.value, Value::String(_) | Value::Table(_)) {
            wrong_type(context, &entry.value, "{ env = \"…\" } or { file = \"…\" }", Some(format!("{name} = {{ env = \"{name}\" }}")));
            continue;
        }
        if let Some(secret) = super::json::secret(context, &reader, entry) {
            secrets.insert(name, Secret(secret));
        }
    }
    secrets
}

/// What a plugin is granted; each name must be declared.
pub fn allow(context: &Context<'_>, plugin: &Reader<'_, '_>) -> Allow {
    let Some(reader) = plugin.open_key("allow", &keys::ALLOW) else { return Allow::default() };
    let flag = |key: &str| reader.truth(key).unwrap_or(false);
    let names = |key: &str, sort: Sort| -> BTreeSet<String> {
        let named = reader.list(key, |text| Ok(text.to_owned())).unwrap_or_default().into_iter();
        named.filter(|(name, span)| context.refer(sort, name, *span)).map(|(name, _)| name).collect()
    };
    Allow {
        log: flag("log"),
        clock: flag("clock"),
        random: flag("random"),
        metrics: flag("metrics"),
        tracing: flag("tracing"),
        secret: names("secret", Sort::Secret),
        kv: names("kv", Sort::Store).into_iter().map(StoreName).collect(),
        http: names("http", Sort::Upstream).into_iter().map(UpstreamName).collect(),
    }
}
