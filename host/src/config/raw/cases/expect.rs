//! `expect` and its kin: what must hold after a phase.

use super::text;
use crate::config::cases::{ADMISSIONS, Check, Expected, FAULTS, VERDICTS, WANTS, Wanted};
use crate::config::forms;
use crate::config::raw::Context;
use crate::config::raw::node::{Entry, Node, Value};
use crate::config::raw::reader::{Reader, one_or_many, wrong_type};
use crate::config::{Code, Diagnostic, Location};

/// Keys that say something of a request, which a response has not.
const OF_REQUESTS: [&str; 5] = ["upstream", "method", "authority", "path", "query"];

/// What an expectation is about.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub request: bool,
    /// The message has a body; without one, a body can only be a reply's.
    pub bodied: bool,
}

pub fn expected(context: &Context<'_>, table: &Reader<'_, '_>, about: About) -> Expected {
    if !about.request {
        for entry in OF_REQUESTS.into_iter().filter_map(|key| table.entry(key)) {
            context.error::<()>(Code::Conflict, entry.key_span, format!("a response has no `{}`", entry.key));
        }
    }
    let mut checks = Vec::new();
    let mut add = |key: &str, wanted: Option<Wanted>| {
        if let (Some(entry), Some(wanted)) = (table.entry(key), wanted) {
            checks.push(Check { wanted, at: context.location(entry.key_span) });
        }
    };
    add("upstream", table.form("upstream", forms::name).map(Wanted::Upstream));
    add("status", table.whole("status").and_then(|status| u16::try_from(status).ok()).map(Wanted::Status));
    add("body", table.string("body").map(|(body, _)| Wanted::Body(body.to_owned())));
    add("want", table.choice("want").map(|want| Wanted::Want(WANTS[want])));
    add("method", table.form("method", forms::method).map(|method| Wanted::Method(method.to_string())));
    for (key, make) in [("authority", Wanted::Authority as fn(String) -> Wanted), ("path", Wanted::Path)] {
        add(key, table.string(key).map(|(text, _)| make(text.to_owned())));
    }
    add("query", table.entry("query").and_then(|entry| or_absent(context, entry)).map(Wanted::Query));
    add("asked", table.whole("asked").and_then(|count| usize::try_from(count).ok()).map(Wanted::Asked));
    add("fault", table.choice("fault").map(|cause| Wanted::Fault(FAULTS[cause])));
    add("edits", table.get("edits").map(|node| Wanted::Edits(lines(context, node, "edits"))));
    logged(context, table, &mut checks);
    for (key, make) in [("headers", Wanted::Header as fn(String, Option<Vec<String>>) -> Wanted), ("trailers", Wanted::Trailer)] {
        each(context, table, key, &mut checks, |entry| {
            let name = context.form(&entry.key, entry.key_span, forms::header_name)?;
            let wanted = match &entry.value.value {
                Value::Array(_) => Some(lines(context, &entry.value, &entry.key)),
                _ => or_absent(context, entry)?.map(|value| vec![value]),
            };
            Some(make(name, wanted))
        });
    }
    attributes(context, table, &mut checks);
    let verdict = verdict(context, table, &VERDICTS, &checks, |wanted| match wanted {
        Wanted::Upstream(_) => Some("forward"),
        Wanted::Status(_) => Some("reply"),
        Wanted::Body(_) if !about.bodied => Some("reply"),
        Wanted::Fault(_) => Some("fault"),
        _ => None,
    });
    checks.insert(0, verdict);
    Expected { checks }
}

/// Of a phase of a connection.
pub fn of_connection(context: &Context<'_>, table: &Reader<'_, '_>) -> Expected {
    let mut checks = Vec::new();
    let mut add = |key: &str, wanted: Option<Wanted>| {
        if let (Some(entry), Some(wanted)) = (table.entry(key), wanted) {
            checks.push(Check { wanted, at: context.location(entry.key_span) });
        }
    };
    add("alert", table.whole("alert").and_then(|alert| u8::try_from(alert).ok()).map(Wanted::Alert));
    add("upstream", table.form("upstream", forms::name).map(Wanted::Upstream));
    add("fault", table.choice("fault").map(|cause| Wanted::Fault(FAULTS[cause])));
    logged(context, table, &mut checks);
    attributes(context, table, &mut checks);
    let says = |check: &Check| match check.wanted {
        Wanted::Alert(_) => Some("alert"),
        Wanted::Upstream(_) => Some("forward"),
        Wanted::Fault(_) => Some("fault"),
        _ => None,
    };
    let written = table.choice("verdict").map(|choice| ADMISSIONS[choice]);
    let verdict = written.or_else(|| checks.iter().find_map(says)).unwrap_or("next");
    let span = table.get("verdict").map_or(table.span, |node| node.span);
    checks.insert(0, Check { wanted: Wanted::Verdict(verdict), at: context.location(span) });
    Expected { checks }
}

/// What is to be said of settings that are refused.
pub fn refused(context: &Context<'_>, case: &Reader<'_, '_>) -> Vec<Check> {
    let Some(node) = case.get("refused") else { return Vec::new() };
    let decided = super::OF_REQUESTS.into_iter().chain(super::OF_CONNECTIONS).chain(["tick", "expect-tick", "then"]);
    for entry in decided.filter_map(|key| case.entry(key)) {
        context.error::<()>(Code::Conflict, entry.key_span, "settings that are refused decide nothing");
    }
    let check = |node: &Node| {
        let wanted = Wanted::Refused(text(context, node, "refused")?.to_owned());
        Some(Check { wanted, at: context.location(node.span) })
    };
    one_or_many(node).iter().filter_map(check).collect()
}

/// Of a choice or a failed attempt; `someone`: the verdict that a server says.
pub fn of_servers(context: &Context<'_>, table: &Reader<'_, '_>, words: &[&'static str], someone: &'static str) -> Expected {
    let mut checks = Vec::new();
    if let Some(entry) = table.entry("server") {
        let named = or_absent(context, entry).map(Wanted::Server);
        checks.extend(named.map(|wanted| Check { wanted, at: context.location(entry.value.span) }));
    }
    attributes(context, table, &mut checks);
    logged(context, table, &mut checks);
    faulted(context, table, &mut checks);
    let verdict = verdict(context, table, words, &checks, |wanted| match wanted {
        Wanted::Server(Some(_)) => Some(someone),
        Wanted::Server(None) => Some("next"),
        Wanted::Fault(_) => Some("fault"),
        _ => None,
    });
    checks.insert(0, verdict);
    Expected { checks }
}

/// Where nothing is decided any more: nothing breaks unless that is expected.
pub fn afterwards(context: &Context<'_>, table: &Reader<'_, '_>) -> Expected {
    let mut checks = Vec::new();
    if let (Some(entry), Some(count)) = (table.entry("asked"), table.whole("asked").and_then(|count| usize::try_from(count).ok())) {
        checks.push(Check { wanted: Wanted::Asked(count), at: context.location(entry.key_span) });
    }
    logged(context, table, &mut checks);
    faulted(context, table, &mut checks);
    if !checks.iter().any(|check| matches!(check.wanted, Wanted::Fault(_))) {
        checks.extend(nothing_breaks(context.location(table.span)).checks);
    }
    Expected { checks }
}

pub fn nothing_breaks(at: Location) -> Expected {
    Expected { checks: vec![Check { wanted: Wanted::Verdict("next"), at }] }
}

/// What is written, or what the rest says.
fn verdict(
    context: &Context<'_>,
    table: &Reader<'_, '_>,
    words: &[&'static str],
    checks: &[Check],
    says: impl Fn(&Wanted) -> Option<&'static str>,
) -> Check {
    let implied = checks.iter().find_map(|check| Some((check, says(&check.wanted)?)));
    let Some(written) = table.choice("verdict").and_then(|choice| words.get(choice)).copied() else {
        let verdict = implied.map_or("next", |(_, says)| says);
        let at = implied.map_or_else(|| context.location(table.span), |(check, _)| check.at.clone());
        return Check { wanted: Wanted::Verdict(verdict), at };
    };
    let span = table.get("verdict").map_or(table.span, |node| node.span);
    if let Some((_, other)) = implied.filter(|(_, other)| *other != written) {
        let message = format!("the verdict \"{written}\" cannot have what else is expected, which says \"{other}\"");
        context.report(Diagnostic::error(Code::Conflict, context.place(span), message));
    }
    Check { wanted: Wanted::Verdict(written), at: context.location(span) }
}

fn logged(context: &Context<'_>, table: &Reader<'_, '_>, checks: &mut Vec<Check>) {
    for node in table.get("log").map(one_or_many).unwrap_or_default() {
        let line = text(context, node, "log").map(|line| Wanted::Log(line.to_owned()));
        checks.extend(line.map(|wanted| Check { wanted, at: context.location(node.span) }));
    }
}

fn attributes(context: &Context<'_>, table: &Reader<'_, '_>, checks: &mut Vec<Check>) {
    each(context, table, "attributes", checks, |entry| Some(Wanted::Attribute(entry.key.clone(), or_absent(context, entry)?)));
}

fn faulted(context: &Context<'_>, table: &Reader<'_, '_>, checks: &mut Vec<Check>) {
    let cause = table.choice("fault").and_then(|cause| FAULTS.get(cause));
    if let (Some(entry), Some(cause)) = (table.entry("fault"), cause) {
        checks.push(Check { wanted: Wanted::Fault(cause), at: context.location(entry.key_span) });
    }
}

fn each(context: &Context<'_>, table: &Reader<'_, '_>, key: &str, checks: &mut Vec<Check>, mut read: impl FnMut(&Entry) -> Option<Wanted>) {
    match table.get(key) {
        None => {}
        Some(Node { value: Value::Table(named), .. }) => {
            for entry in &named.entries {
                checks.extend(read(entry).map(|wanted| Check { wanted, at: context.location(entry.key_span) }));
            }
        }
        Some(other) => table.wrong(key, other).unwrap_or_default(),
    }
}

/// A text, or `false` for nothing.
pub fn or_absent(context: &Context<'_>, entry: &Entry) -> Option<Option<String>> {
    match &entry.value.value {
        Value::String(text) => Some(Some(text.clone())),
        Value::Boolean(false) => Some(None),
        _ => {
            wrong_type(
                context,
                &entry.value,
                "a string or false",
                Some(format!("{} = \"…\", or false if it is not to be there", entry.key)),
            );
            None
        }
    }
}

fn lines(context: &Context<'_>, node: &Node, key: &str) -> Vec<String> {
    one_or_many(node).iter().filter_map(|node| text(context, node, key)).map(str::to_owned).collect()
}
