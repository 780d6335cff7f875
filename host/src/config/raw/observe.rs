//! `[observe]`.

use super::Context;
use super::node::Value;
use super::reader::{Reader, chosen, one_or_many};
use crate::config::forms::{self, Wrong};
use crate::config::{Code, Collector, Diagnostic, ObserveSpec, ServerAddress, Signal, keys};
use std::time::Duration;

/// Of exchanges, in hundredths, unless written: enough to see what is usual, and cheap.
const SAMPLE: f64 = 1.0;

/// Between two times that numbers are told, unless written; and the least.
const INTERVAL: Duration = Duration::from_secs(30);
const OFTEN: Duration = Duration::from_secs(1);

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>) -> Option<ObserveSpec> {
    let reader = root.open_key("observe", &keys::OBSERVE)?;
    let sample = reader.form("sample", share).unwrap_or(SAMPLE) / 100.0;
    let service = reader.string("service").map_or_else(|| "portcullis".to_owned(), |(name, _)| name.to_owned());
    let signals = signals(context, &reader).unwrap_or_else(|| vec![Signal::Traces]);
    for (key, of) in [("sample", Signal::Traces), ("interval", Signal::Metrics)] {
        if let (Some(entry), false) = (reader.entry(key), signals.contains(&of)) {
            let message =
                format!("`{key}` says nothing where `signals` has no \"{}\"", if of == Signal::Traces { "traces" } else { "metrics" });
            context.report(Diagnostic::error(Code::Conflict, context.place(entry.key_span), message));
        }
    }
    let interval = reader.duration("interval", OFTEN).unwrap_or(INTERVAL);
    Some(ObserveSpec { otlp: reader.form("otlp", collector)?, signals, interval, sample, service })
}

/// `["traces", "metrics"]`
fn signals(context: &Context<'_>, reader: &Reader<'_, '_>) -> Option<Vec<Signal>> {
    const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];
    let node = reader.get("signals")?;
    let mut signals = Vec::new();
    for item in one_or_many(node) {
        let Value::String(text) = &item.value else { return reader.wrong("signals", item) };
        let signal = chosen(context, text, item.span, keys::SIGNALS).and_then(|index| ALL.get(index));
        signals.extend(signal.filter(|signal| !signals.contains(*signal)).copied());
    }
    if one_or_many(node).is_empty() {
        return context.error(Code::BadValue, node.span, "the collector is told nothing; leave [observe] out");
    }
    Some(signals)
}

/// `0.1%`
fn share(text: &str) -> Result<f64, Wrong> {
    let number = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let number = number.and_then(|number| number.parse().ok()).filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| Wrong::whole(text, "a share lies between 0% and 100%").help("for example: 0.1%"))
}

/// `http://host:port`, with a path before `/v1/traces` and its like if the collector has one.
fn collector(text: &str) -> Result<Collector, Wrong> {
    if text.starts_with("https://") {
        let wrong = Wrong { later: true, ..Wrong::at(0.."https".len(), "it goes in the clear in this version") };
        return Err(wrong.help("have a collector on this machine or network, which speaks TLS with others"));
    }
    let wrong = || Wrong::whole(text, "a collector is http://host:port").help("for example: http://127.0.0.1:4318");
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    match forms::server(authority) {
        Ok((ServerAddress::Tcp { host, port }, forms::Scheme::NONE)) if plain => {
            let before = if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('/')) };
            Ok(Collector { host, port, path: before })
        }
        _ => Err(wrong()),
    }
}
