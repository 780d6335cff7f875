//! `expect` and `expect-response`.

use super::text;
use crate::config::cases::{ADMISSIONS, Check, Expected, FAULTS, VERDICTS, WANTS, Wanted};
use crate::config::forms;
use crate::config::raw::Context;
use crate::config::raw::node::{Entry, Node, Value};
use crate::config::raw::reader::{Reader, one_or_many, wrong_type};
use crate::config::{Code, Diagnostic};

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
    for node in table.get("log").map(one_or_many).unwrap_or_default() {
        let line = text(context, node, "log").map(|line| Wanted::Log(line.to_owned()));
        checks.extend(line.map(|wanted| Check { wanted, at: context.location(node.span) }));
    }
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
    each(context, table, "attributes", &mut checks, |entry| Some(Wanted::Attribute(entry.key.clone(), or_absent(context, entry)?)));
    let verdict = verdict(context, table, &checks, about.bodied);
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
    for node in table.get("log").map(one_or_many).unwrap_or_default() {
        let line = text(context, node, "log").map(|line| Wanted::Log(line.to_owned()));
        checks.extend(line.map(|wanted| Check { wanted, at: context.location(node.span) }));
    }
    each(context, table, "attributes", &mut checks, |entry| Some(Wanted::Attribute(entry.key.clone(), or_absent(context, entry)?)));
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
    for entry in ["request", "expect", "response", "expect-response", "connection", "expect-accept", "expect-hello", "expect-close", "then"]
        .into_iter()
        .filter_map(|key| case.entry(key))
    {
        context.error::<()>(Code::Conflict, entry.key_span, "settings that are refused decide nothing");
    }
    let check = |node: &Node| {
        let wanted = Wanted::Refused(text(context, node, "refused")?.to_owned());
        Some(Check { wanted, at: context.location(node.span) })
    };
    one_or_many(node).iter().filter_map(check).collect()
}

/// What is written, or what the rest says.
fn verdict(context: &Context<'_>, table: &Reader<'_, '_>, checks: &[Check], bodied: bool) -> Check {
    let says = |check: &&Check| match check.wanted {
        Wanted::Upstream(_) => Some("forward"),
        Wanted::Status(_) => Some("reply"),
        Wanted::Body(_) if !bodied => Some("reply"),
        Wanted::Fault(_) => Some("fault"),
        _ => None,
    };
    let implied = checks.iter().find(|check| says(check).is_some());
    let Some(written) = table.choice("verdict").map(|choice| VERDICTS[choice]) else {
        let verdict = implied.as_ref().and_then(says).unwrap_or("next");
        let at = implied.map_or_else(|| context.location(table.span), |check| check.at.clone());
        return Check { wanted: Wanted::Verdict(verdict), at };
    };
    let span = table.get("verdict").map_or(table.span, |node| node.span);
    if let Some(other) = implied.as_ref().and_then(says).filter(|other| *other != written) {
        let message = format!("the verdict \"{written}\" cannot have what else is expected, which says \"{other}\"");
        context.report(Diagnostic::error(Code::Conflict, context.place(span), message));
    }
    Check { wanted: Wanted::Verdict(written), at: context.location(span) }
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
fn or_absent(context: &Context<'_>, entry: &Entry) -> Option<Option<String>> {
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
