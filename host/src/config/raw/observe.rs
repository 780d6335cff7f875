//! `[observe]`.

use super::Context;
use super::reader::Reader;
use crate::config::forms::{self, Wrong};
use crate::config::{Collector, ObserveSpec, ServerAddress, keys};

/// Of exchanges, in hundredths, unless written: enough to see what is usual, and cheap.
const SAMPLE: f64 = 1.0;

pub fn read(_context: &Context<'_>, root: &Reader<'_, '_>) -> Option<ObserveSpec> {
    let reader = root.open_key("observe", &keys::OBSERVE)?;
    let sample = reader.form("sample", share).unwrap_or(SAMPLE) / 100.0;
    let service = reader.string("service").map_or_else(|| "portcullis".to_owned(), |(name, _)| name.to_owned());
    Some(ObserveSpec { otlp: reader.form("otlp", collector)?, sample, service })
}

/// `0.1%`
fn share(text: &str) -> Result<f64, Wrong> {
    let number = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let number = number.and_then(|number| number.parse().ok()).filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| Wrong::whole(text, "a share lies between 0% and 100%").help("for example: 0.1%"))
}

/// `http://host:port`, with a path before `/v1/traces` if the collector has one.
fn collector(text: &str) -> Result<Collector, Wrong> {
    if text.starts_with("https://") {
        let wrong = Wrong { later: true, ..Wrong::at(0.."https".len(), "traces go in the clear in this version") };
        return Err(wrong.help("have a collector on this machine or network, which speaks TLS with others"));
    }
    let wrong = || Wrong::whole(text, "a collector is http://host:port").help("for example: http://127.0.0.1:4318");
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    match forms::server(authority) {
        Ok((ServerAddress::Tcp { host, port }, forms::Scheme::NONE)) if plain => {
            let before = if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('/')) };
            Ok(Collector { host, port, path: format!("{before}/v1/traces") })
        }
        _ => Err(wrong()),
    }
}
