//! `[plugin.x]`: a path or a table.

use super::build::section;
use super::names::BUNDLED;
use super::node::{Node, Value};
use super::reader::{Reader, chosen};
use super::{Context, platform};
use crate::config::forms::{self, Wrong};
use crate::config::source::Span;
use crate::config::{
    Allow, BreakerSpec, Code, Diagnostic, FailPolicy, FailurePolicy, GuestLimits, Isolation, Location, PluginName, PluginSource, PluginSpec,
};
use crate::config::{keys, units};
use std::collections::BTreeMap;
use std::time::Duration;

/// Guests cannot have less than a page, nor more than 32 bits can address.
const MEMORY: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 30;

/// The epoch ticks each millisecond; more than ten seconds of CPU is no limit.
const CPU: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// A client has waited for longer than a minute for other reasons by then.
const TIME: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>) -> BTreeMap<PluginName, PluginSpec> {
    let mut plugins = BTreeMap::new();
    for (name, node, key_span, path) in section(root, "plugin") {
        let Some(name) = context.form(name, key_span, forms::plugin_name) else { continue };
        let spec = match &node.value {
            Value::String(source) => path_source(context, source, node.span).map(|source| PluginSpec {
                source,
                sha256: None,
                limits: GuestLimits::default(),
                isolation: Isolation::default(),
                fail: FailurePolicy::default(),
                breaker: BreakerSpec::default(),
                allow: Allow::default(),
                at: context.location(key_span),
                source_at: context.location(node.span),
            }),
            _ => table(context, node, path, &name),
        };
        plugins.extend(spec.map(|spec| (PluginName(name), spec)));
    }
    plugins
}

fn table(context: &Context<'_>, node: &Node, path: String, name: &str) -> Option<PluginSpec> {
    let reader =
        Reader::open_as(context, node, &keys::PLUGIN, path, "a path or a table", Some(format!("{name} = \"plugins/{name}.wasm\"")))?;
    let at = context.location(reader.span);
    let sha256 = reader.form("sha256", forms::sha256);
    let allow = platform::allow(context, &reader);
    let (limits, isolation, fail) = (limits(&reader), isolation(&reader), failure(context, &reader));
    let breaker = breaker(context, &reader);
    let (source, source_at) = source(context, &reader, name, &at)?;
    if let (PluginSource::Bundled(name), Some(entry)) = (&source, reader.entry("sha256")) {
        return context.error(Code::Conflict, entry.key_span, format!("`{name}` is in the binary; only a `source` can be pinned"));
    }
    Some(PluginSpec { source, sha256, limits, isolation, fail, breaker, allow, at, source_at })
}

fn source(context: &Context<'_>, reader: &Reader<'_, '_>, name: &str, at: &Location) -> Option<(PluginSource, Location)> {
    if reader.entry("source").is_some() {
        let (path, span) = reader.string("source")?;
        return Some((path_source(context, path, span)?, context.location(span)));
    }
    if let Some(bundled) = BUNDLED.iter().find(|bundled| **bundled == name) {
        return Some((PluginSource::Bundled(bundled), at.clone()));
    }
    if context.is_broken(reader.span.file) {
        return None;
    }
    let found = Diagnostic::error(Code::Missing, context.place(reader.span), format!("{} needs `source`", reader.section()));
    context.report(found.help(format!("for example: source = \"plugins/{name}.wasm\"")).help(format!("bundled: {}", BUNDLED.join(", "))));
    None
}

fn path_source(context: &Context<'_>, path: &str, span: Span) -> Option<PluginSource> {
    if let Some(scheme) = path.find("://") {
        let inside = context.sources.inside(span, 0..scheme + 3);
        return context.error(Code::NotYet, inside, "plugins from a registry are not in this version; write the path of a .wasm file");
    }
    if path.is_empty() {
        return context.error(Code::BadValue, span, "the path is empty");
    }
    Some(PluginSource::Path(context.sources.resolve(span.file, path)))
}

fn limits(reader: &Reader<'_, '_>) -> GuestLimits {
    let mut limits = GuestLimits::default();
    let Some(table) = reader.open_key("limits", &keys::GUEST_LIMITS) else { return limits };
    let memory = table.form("memory", |text| {
        let bytes = units::size(text)?;
        let least = || Wrong::whole(text, "a guest's memory lies between 64KiB and 4GiB");
        if MEMORY.contains(&bytes) { usize::try_from(bytes).map_err(|_| least()) } else { Err(least()) }
    });
    let cpu = table.form("cpu", |text| {
        let time = units::duration(text)?;
        if CPU.contains(&time) { Ok(time) } else { Err(Wrong::whole(text, "CPU per call lies between 1ms and 10s")) }
    });
    let time = table.form("time", |text| {
        let time = units::duration(text)?;
        if TIME.contains(&time) { Ok(time) } else { Err(Wrong::whole(text, "the time of a call lies between 1ms and 60s")) }
    });
    limits.time = time.unwrap_or(limits.time);
    limits.memory = memory.unwrap_or(limits.memory);
    limits.cpu = cpu.unwrap_or(limits.cpu);
    limits
}

fn isolation(reader: &Reader<'_, '_>) -> Isolation {
    match reader.choice("isolate") {
        Some(1) => Isolation::Request,
        _ => Isolation::Worker,
    }
}

fn failure(context: &Context<'_>, reader: &Reader<'_, '_>) -> FailurePolicy {
    match reader.get("fail") {
        None => FailurePolicy::default(),
        Some(Node { value: Value::String(text), span }) => {
            let policy = policy(chosen(context, text, *span, &["closed", "open"]));
            FailurePolicy { trap: policy, memory: policy, bad_output: policy, timeout: policy, overload: policy }
        }
        Some(Node { value: Value::Table(_), .. }) => {
            let Some(table) = reader.open_key("fail", &keys::FAIL_TABLE) else { return FailurePolicy::default() };
            let cause = |key: &str| table.choice(key).map(|choice| policy(Some(choice)));
            // Both are traps of a kind.
            let trap = cause("trap").unwrap_or_default();
            let like_trap = |key: &str| cause(key).unwrap_or(trap);
            let (memory, bad_output) = (like_trap("memory"), like_trap("bad-output"));
            let (timeout, overload) = (cause("timeout").unwrap_or_default(), cause("overload").unwrap_or_default());
            FailurePolicy { trap, memory, bad_output, timeout, overload }
        }
        Some(other) => reader.wrong("fail", other).unwrap_or_default(),
    }
}

fn breaker(context: &Context<'_>, reader: &Reader<'_, '_>) -> BreakerSpec {
    let spec = BreakerSpec::default();
    match reader.get("breaker") {
        None => spec,
        Some(Node { value: Value::String(text), span }) => {
            chosen(context, text, *span, &["off"]);
            BreakerSpec { faults: 0, ..spec }
        }
        Some(Node { value: Value::Table(_), .. }) => {
            let Some(table) = reader.open_key("breaker", &keys::BREAKER) else { return spec };
            let time = |key: &str| table.duration(key, Duration::from_millis(1));
            BreakerSpec {
                faults: table.whole("faults").and_then(|faults| u32::try_from(faults).ok()).unwrap_or(spec.faults),
                window: time("window").unwrap_or(spec.window),
                share: table.form("share", units::percent).unwrap_or(spec.share),
                pause: time("pause").unwrap_or(spec.pause),
            }
        }
        Some(other) => reader.wrong("breaker", other).unwrap_or_default(),
    }
}

fn policy(choice: Option<usize>) -> FailPolicy {
    if choice == Some(1) { FailPolicy::Open } else { FailPolicy::Closed }
}
