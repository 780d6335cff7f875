//! `[plugin.x]`: a path or a table.

use super::build::section;
use super::names::BUNDLED;
use super::node::{Node, Value};
use super::reader::{Reader, chosen};
use super::trust::Trust;
use super::{Context, platform};
use crate::config::forms::{self, Wrong};
use crate::config::source::Span;
use crate::config::{
    Allow, BreakerSpec, Code, Diagnostic, FailPolicy, FailurePolicy, GuestLimits, Isolation, Location, PluginName, PluginSource,
    PluginSpec, Reference,
};
use crate::config::{keys, trust, units};
use std::collections::BTreeMap;
use std::time::Duration;

/// Guests cannot have less than a page, nor more than 32 bits can address.
const MEMORY: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 30;

/// The epoch ticks each millisecond; more than ten seconds of CPU is no limit.
const CPU: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// A client has waited for longer than a minute for other reasons by then.
const TIME: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, trust: &Trust) -> BTreeMap<PluginName, PluginSpec> {
    let mut plugins = BTreeMap::new();
    for (name, node, key_span, path) in section(root, "plugin") {
        let Some(name) = context.form(name, key_span, forms::plugin_name) else { continue };
        let spec = match &node.value {
            Value::String(text) => source(context, text, node.span).map(|source| PluginSpec {
                source,
                sha256: None,
                signed_by: trust.by_default_at(context, &context.location(key_span), &format!("[plugin.{name}]")),
                signature: None,
                limits: GuestLimits::default(),
                isolation: None,
                remember: true,
                fail: FailurePolicy::default(),
                breaker: BreakerSpec::default(),
                allow: Allow::default(),
                at: context.location(key_span),
                source_at: context.location(node.span),
            }),
            _ => table(context, node, path, &name, trust),
        };
        plugins.extend(spec.map(|spec| (PluginName(name), spec)));
    }
    plugins
}

fn table(context: &Context<'_>, node: &Node, path: String, name: &str, trust: &Trust) -> Option<PluginSpec> {
    let reader =
        Reader::open_as(context, node, &keys::PLUGIN, path, "a path or a table", Some(format!("{name} = \"plugins/{name}.wasm\"")))?;
    let at = context.location(reader.span);
    let sha256 = reader.form("sha256", forms::sha256);
    let allow = platform::allow(context, &reader);
    let usual = if reader.entry("source").is_some() { GuestLimits::default() } else { GuestLimits::of_bundled(name) };
    let (limits, isolation, fail) = (limits(&reader, usual), isolation(&reader), failure(context, &reader));
    let breaker = breaker(context, &reader);
    let signature = reader.string("signature").map(|(path, span)| context.sources.resolve(span.file, path));
    let (source, source_at) = source_of(context, &reader, name, &at)?;
    let signed_by = match &source {
        PluginSource::Bundled(name) => {
            for (key, what) in [("sha256", "pinned"), ("signed-by", "signed"), ("signature", "signed")] {
                if let Some(entry) = reader.entry(key) {
                    return context.error(
                        Code::Conflict,
                        entry.key_span,
                        format!("`{name}` is in the binary; only a `source` can be {what}"),
                    );
                }
            }
            Vec::new()
        }
        PluginSource::Path(_) | PluginSource::Registry { .. } => trust.of(context, &reader),
    };
    if let (true, Some(entry)) = (signed_by.is_empty(), reader.entry("signature")) {
        let found =
            Diagnostic::error(Code::Conflict, context.place(entry.key_span), "nobody's signature is wanted, so `signature` means nothing");
        context.report(found.help("add: signed-by = [\"RWQ…\"]"));
    }
    let remember = remember(context, &reader, isolation);
    Some(PluginSpec { source, sha256, signed_by, signature, limits, isolation, remember, fail, breaker, allow, at, source_at })
}

fn source_of(context: &Context<'_>, reader: &Reader<'_, '_>, name: &str, at: &Location) -> Option<(PluginSource, Location)> {
    if reader.entry("source").is_some() {
        let (path, span) = reader.string("source")?;
        return Some((source(context, path, span)?, context.location(span)));
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

fn source(context: &Context<'_>, path: &str, span: Span) -> Option<PluginSource> {
    if Reference::is_meant(path) {
        let (reference, digest) = context.form(path, span, trust::pinned_reference)?;
        return Some(PluginSource::Registry { reference, digest });
    }
    if let Some(scheme) = path.find("://") {
        let inside = context.sources.inside(span, 0..scheme + 3);
        let found = Diagnostic::error(Code::BadValue, context.place(inside), "no place that plugins come from");
        context.report(found.help("a path, or oci://registry/repository@sha256:…"));
        return None;
    }
    if path.is_empty() {
        return context.error(Code::BadValue, span, "the path is empty");
    }
    Some(PluginSource::Path(context.sources.resolve(span.file, path)))
}

pub(super) fn limits(reader: &Reader<'_, '_>, usual: GuestLimits) -> GuestLimits {
    let mut limits = usual;
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

pub(super) fn isolation(reader: &Reader<'_, '_>) -> Option<Isolation> {
    reader.choice("isolate").map(|choice| if choice == 1 { Isolation::Request } else { Isolation::Worker })
}

fn remember(context: &Context<'_>, reader: &Reader<'_, '_>, isolation: Option<Isolation>) -> bool {
    let remember = reader.truth("remember").unwrap_or(true);
    if let Some(entry) = reader.entry("remember").filter(|_| remember && isolation == Some(Isolation::Worker)) {
        context.error::<()>(
            Code::Conflict,
            entry.key_span,
            "a guest that is kept is asked each time; decisions are remembered with isolate = \"request\"",
        );
    }
    remember
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
