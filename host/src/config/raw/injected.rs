//! `fault` of a route: what is to go wrong on purpose.

use super::Context;
use super::mirror::share;
use super::reader::Reader;
use crate::config::{Code, Diagnostic, InjectedFaults, keys};
use std::time::Duration;

pub fn read(context: &Context<'_>, route: &Reader<'_, '_>) -> Option<InjectedFaults> {
    let entry = route.entry("fault")?;
    let table = route.open_key("fault", &keys::FAULT)?;
    let part = |key: &str, of: &str| {
        if let (Some(entry), None) = (table.entry(key), table.entry(of)) {
            let found = Diagnostic::error(Code::Conflict, context.place(entry.key_span), format!("`{key}` means nothing without `{of}`"));
            context.report(found);
        }
        table.form(key, share).unwrap_or(100)
    };
    let (delay_share, abort_share) = (part("delay-share", "delay"), part("abort-share", "abort"));
    let delay = table.duration("delay", Duration::from_millis(1)).map(|delay| (delay, delay_share));
    let abort = table.whole("abort").and_then(|status| u16::try_from(status).ok()).map(|status| (status, abort_share));
    if table.entry("delay").or(table.entry("abort")).is_none() {
        return context.error(Code::Missing, entry.value.span, "`fault` has neither `delay` nor `abort`");
    }
    let found = InjectedFaults { delay, abort };
    if delay.is_some() || abort.is_some() {
        let message = format!("requests of {} go wrong on purpose: {found}", route.section());
        context.report(Diagnostic::warning(Code::FaultsInjected, context.place(entry.key_span), message));
    }
    Some(found)
}
