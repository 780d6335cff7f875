//! `mirror` of a site or a route: the name of an upstream, or a table. A route has that of its site unless it says otherwise.

use super::Context;
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::Reader;
use crate::config::forms::Wrong;
use crate::config::source::Span;
use crate::config::{Code, MirrorSpec, UpstreamName, keys, units};

/// Of a route. `inherited`: of its site.
pub fn of_route(context: &Context<'_>, route: &Reader<'_, '_>, inherited: Option<&MirrorSpec>) -> Option<MirrorSpec> {
    match route.get("mirror") {
        None => inherited.cloned(),
        Some(Node { value: Value::Boolean(false), .. }) => None,
        Some(Node { value: Value::Boolean(true), span }) => {
            context.error(Code::BadValue, *span, "`mirror` is true, but of whom? The name of an upstream, or false for none")
        }
        Some(_) => read(context, route),
    }
}

pub fn read(context: &Context<'_>, route: &Reader<'_, '_>) -> Option<MirrorSpec> {
    let named = |(name, span): (&str, Span)| {
        context.refer(Sort::Upstream, name, span);
        UpstreamName(name.to_owned())
    };
    match route.get("mirror")? {
        Node { value: Value::String(name), span } => Some(MirrorSpec { to: named((name, *span)), share: 100 }),
        Node { value: Value::Table(_), .. } => {
            let table = route.open_key("mirror", &keys::MIRROR)?;
            let share = table.form("share", share);
            Some(MirrorSpec { to: table.string("to").map(named)?, share: share.unwrap_or(100) })
        }
        other => route.wrong("mirror", other),
    }
}

/// `10%`; of nothing, nothing need be said.
pub(super) fn share(text: &str) -> Result<u32, Wrong> {
    match units::percent(text)? {
        0 => Err(Wrong::whole(text, "at least 1%").help("to have none, leave it out")),
        share => Ok(share),
    }
}
