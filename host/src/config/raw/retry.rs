//! `retry` of a route: a number, or a table.

use super::Context;
use super::node::{Node, Value};
use super::reader::Reader;
use crate::config::forms::Wrong;
use crate::config::{Code, Diagnostic, RetrySpec, keys, show_duration, units};
use std::time::Duration;

/// One thing after which another server is tried.
enum On {
    Connect,
    Reset,
    Timeout,
    Status(u16),
}

/// `total`: what the exchange may take as a whole.
pub fn read(context: &Context<'_>, route: &Reader<'_, '_>, total: Option<Duration>) -> RetrySpec {
    let usual = RetrySpec::default();
    let reader = match route.get("retry") {
        None => return usual,
        Some(Node { value: Value::Integer(tries @ 1..=11), .. }) => return RetrySpec { tries: u32::try_from(*tries).ok(), ..usual },
        Some(Node { value: Value::Integer(_) | Value::Vast, span }) => {
            return context.error(Code::BadValue, *span, "`retry` is a whole number from 1 to 11").unwrap_or_default();
        }
        Some(Node { value: Value::Table(_), .. }) => route.open_key("retry", &keys::RETRY),
        Some(other) => route.wrong("retry", other),
    };
    let Some(reader) = reader else { return usual };
    let tries = reader.whole("tries").and_then(|tries| u32::try_from(tries).ok());
    let budget = reader.form("budget", units::percent);
    let per_try = reader.duration("per-try", Duration::from_millis(1));
    let hedge = reader.duration("hedge", Duration::from_millis(1));
    if let (Some(entry), Some(1)) = (reader.entry("hedge"), tries) {
        let found = Diagnostic::error(Code::Conflict, context.place(entry.key_span), "`hedge` is a second try, and `tries` allows none");
        context.report(found);
    }
    if let (Some(per_try), Some(total), Some(entry)) = (per_try, total, reader.entry("per-try"))
        && per_try > total
    {
        let message = format!("one try may take {}, and all together {}", show_duration(per_try), show_duration(total));
        context.report(Diagnostic::error(Code::PerTryTooLong, context.place(entry.value.span), message));
    }
    let on = reader.list("on", on);
    if let (Some([]), Some(entry)) = (on.as_deref(), reader.entry("on")) {
        let found =
            Diagnostic::error(Code::Conflict, context.place(entry.value.span), "nothing is to be tried again, so the rest says nothing");
        context.report(found.help("for example: on = [\"connect\", \"503\"]; without retries: tries = 1"));
    }
    let Some(on) = on else { return RetrySpec { tries, budget, per_try, hedge, ..usual } };
    let mut spec = RetrySpec { connect: false, reset: false, timeout: false, statuses: Vec::new(), tries, budget, per_try, hedge };
    for (on, _) in on {
        match on {
            On::Connect => spec.connect = true,
            On::Reset => spec.reset = true,
            On::Timeout => spec.timeout = true,
            On::Status(status) => spec.statuses.push(status),
        }
    }
    spec.statuses.sort_unstable();
    spec.statuses.dedup();
    spec
}

fn on(text: &str) -> Result<On, Wrong> {
    match text {
        "connect" => Ok(On::Connect),
        "reset" => Ok(On::Reset),
        "timeout" => Ok(On::Timeout),
        status => match status.parse() {
            Ok(status @ 400..=599) => Ok(On::Status(status)),
            _ => Err(Wrong::whole(text, "no reason to try another server")
                .help("there are connect, reset, timeout, and statuses from 400 to 599")),
        },
    }
}
