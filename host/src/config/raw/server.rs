//! `[server]` and `[limits]`.

use super::Context;
use super::chains::{Chains, Item};
use super::inbound;
use super::node::Value;
use super::reader::{Reader, chosen};
use crate::config::forms::{self, Wrong};
use crate::config::limits_table::{Amount, LIMITS, Unit};
use crate::config::units;
use crate::config::{AccessLog, AccessRules, Limits, ServerSpec, keys};
use std::sync::Arc;
use std::time::Duration;

/// `[server]`, and its chain as written.
pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, chains: &Chains) -> (ServerSpec, Vec<Item>) {
    let Some(reader) = root.open_key("server", &keys::SERVER_TABLE) else { return Default::default() };
    let (access_log, access_rules) = access(context, &reader);
    let spec = ServerSpec {
        workers: reader.whole("workers").and_then(|n| usize::try_from(n).ok()).and_then(std::num::NonZeroUsize::new),
        state: reader.string("state").map(|(path, span)| context.sources.resolve(span.file, path)),
        ticket_keys: reader.string("ticket-keys").map(|(path, span)| (context.sources.resolve(span.file, path), context.location(span))),
        trusted_proxies: inbound::peers(
            context,
            &reader,
            "trusted-proxies",
            "say who it is",
            "name the networks of your load balancers only",
        ),
        access_log,
        access_rules: Arc::new(access_rules),
        resolver: reader.list("resolver", forms::nameserver).unwrap_or_default().into_iter().map(|(server, _)| server).collect(),
        zone: reader.form("zone", forms::tag),
        watch: reader.truth("watch").unwrap_or(true),
    };
    (spec, chains.items(context, &reader))
}

/// `"json"`, or `{ format, sample, mask }`.
fn access(context: &Context<'_>, reader: &Reader<'_, '_>) -> (AccessLog, AccessRules) {
    let mut rules = AccessRules::default();
    let numbered = |number: Option<usize>| number.map_or_else(AccessLog::default, AccessLog::numbered);
    let format = match reader.get("access-log").map(|node| (&node.value, node)) {
        None => AccessLog::default(),
        Some((Value::String(text), node)) => numbered(chosen(context, text, node.span, &AccessLog::NAMES)),
        Some((Value::Table(_), _)) => {
            let Some(table) = reader.open_key("access-log", &keys::ACCESS_LOG) else { return Default::default() };
            rules.sample = table.form("sample", units::percent).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(rules.sample);
            let mask = table.list("mask", |text| Ok(text.to_ascii_lowercase()));
            rules.mask = mask.unwrap_or_default().into_iter().map(|(name, _)| name).collect();
            numbered(table.choice("format"))
        }
        Some((_, node)) => reader.wrong("access-log", node).unwrap_or_default(),
    };
    (format, rules)
}

/// `[limits]` over the defaults.
pub fn limits(_context: &Context<'_>, root: &Reader<'_, '_>) -> Limits {
    let mut limits = Limits::default();
    let Some(reader) = root.open_key("limits", &keys::LIMITS_TABLE) else { return limits };
    for limit in LIMITS {
        let amount = match limit.unit {
            Unit::Size(least, most) => reader.form(limit.key, |text| {
                let bytes = units::size(text)?;
                within(text, bytes, least, most, units::show_size).map(Amount::Number)
            }),
            Unit::Time(least, most) => reader.form(limit.key, |text| {
                let millis = u64::try_from(units::duration(text)?.as_millis()).unwrap_or(u64::MAX);
                let show = |millis| units::show_duration(Duration::from_millis(millis));
                within(text, millis, least, most, show).map(|millis| Amount::Time(Duration::from_millis(millis)))
            }),
            Unit::Count(..) => reader.whole(limit.key).and_then(|n| u64::try_from(n).ok()).map(Amount::Number),
            Unit::Percent => reader.form(limit.key, |text| units::percent(text).map(|n| Amount::Number(n.into()))),
            Unit::Names => {
                reader.list(limit.key, forms::header_name).map(|names| Amount::Names(names.into_iter().map(|(name, _)| name).collect()))
            }
        };
        if let Some(amount) = amount {
            (limit.write)(&mut limits, amount);
        }
    }
    limits
}

fn within(text: &str, value: u64, least: u64, most: u64, show: impl Fn(u64) -> String) -> Result<u64, Wrong> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Wrong::whole(text, format!("must lie between {} and {}", show(least), show(most))))
}
