//! `health` of an upstream: a short text, or a table.

use super::Context;
use super::node::{Node, Value};
use super::reader::Reader;
use crate::config::forms::Wrong;
use crate::config::{Code, HealthSpec, Location, Look, forms, keys, units};
use std::time::Duration;

/// Looking more often would be an attack.
const OFTEN: Duration = Duration::from_millis(100);

pub fn read(context: &Context<'_>, upstream: &Reader<'_, '_>) -> Option<HealthSpec> {
    match upstream.get("health")? {
        Node { value: Value::String(_), span } => {
            let at = context.location(*span);
            upstream.form("health", |text| short(text, at))
        }
        Node { value: Value::Table(_), span } => {
            let table = upstream.open_key("health", &keys::UPSTREAM_HEALTH)?;
            Some(long(context, &table, context.location(*span)))
        }
        other => upstream.wrong("health", other),
    }
}

/// `GET /healthz every 10s`
fn short(text: &str, at: Location) -> Result<HealthSpec, Wrong> {
    let (look, every) = text.split_once(" every ").map_or((text, None), |(look, every)| (look, Some(every)));
    let look = match look.strip_prefix("GET ") {
        Some(path) => Look::Get { target: target(text, 4, path)?, host: None, expect: Vec::new() },
        None if look == "connect" => Look::Connect,
        None if look == "grpc" => Look::Grpc { service: String::new(), host: None },
        None if look.starts_with("grpc ") => {
            let within = |wrong: Wrong| Wrong { at: wrong.at.start + 5..wrong.at.end + 5, ..wrong };
            Look::Grpc { service: forms::grpc_service(look.get(5..).unwrap_or_default()).map_err(within)?, host: None }
        }
        None => {
            return Err(Wrong::at(0..look.len(), "not a way to look at a server")
                .help("for example: GET /healthz every 10s, connect every 5s, or grpc every 5s; a table says more"));
        }
    };
    let mut spec = HealthSpec::new(look, at);
    if let Some(every) = every {
        let from = text.len() - every.len();
        let within = |wrong: Wrong| Wrong { at: wrong.at.start + from..wrong.at.end + from, ..wrong };
        spec.every = units::duration(every).map_err(within)?;
        if spec.every < OFTEN {
            return Err(Wrong::at(from..text.len(), "at least 100ms"));
        }
        spec.timeout = spec.timeout.min(spec.every);
    }
    Ok(spec)
}

/// Path and query, which stand in `text` from `at` on.
fn target(text: &str, at: usize, path: &str) -> Result<String, Wrong> {
    let sound = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if sound { Ok(path.to_owned()) } else { Err(Wrong::at(at.min(text.len())..at + path.len(), "not a path")) }
}

fn long(context: &Context<'_>, table: &Reader<'_, '_>, at: Location) -> HealthSpec {
    let get = table.form("get", |text| target(text, 0, text));
    let grpc = table.form("grpc", forms::grpc_service);
    let host = table.form("host", forms::peer_name);
    let expect = expect(context, table);
    let useless = |key: &str, without: &str| {
        if let Some(entry) = table.entry(key) {
            context.error(Code::Conflict, entry.key_span, format!("`{key}` means nothing without {without}")).unwrap_or_default()
        }
    };
    if get.is_none() {
        useless("expect", "`get`");
    }
    if get.is_none() && grpc.is_none() {
        useless("host", "`get` or `grpc`");
    }
    if let (Some(_), Some(_), Some(entry)) = (&get, &grpc, table.entry("grpc")) {
        context.error(Code::Conflict, entry.key_span, "a server is looked at with `get` or with `grpc`").unwrap_or_default()
    }
    let look = match (get, grpc) {
        (Some(target), _) => Look::Get { target, host, expect },
        (None, Some(service)) => Look::Grpc { service, host },
        (None, None) => Look::Connect,
    };
    let usual = HealthSpec::new(look, at);
    let every = table.duration("every", OFTEN).unwrap_or(usual.every);
    let count = |key: &str| table.whole(key).and_then(|count| u32::try_from(count).ok());
    HealthSpec {
        every,
        timeout: table.duration("timeout", Duration::from_millis(1)).unwrap_or(usual.timeout.min(every)),
        down: count("down").unwrap_or(usual.down),
        up: count("up").unwrap_or(usual.up),
        ready: table.truth("ready").unwrap_or(usual.ready),
        ..usual
    }
}

fn expect(context: &Context<'_>, table: &Reader<'_, '_>) -> Vec<u16> {
    let Some(node) = table.get("expect") else { return Vec::new() };
    let mut statuses = Vec::new();
    for item in super::reader::one_or_many(node) {
        match item.value {
            Value::Integer(status @ 200..=599) => statuses.extend(u16::try_from(status)),
            Value::Integer(_) => context.error(Code::BadValue, item.span, "a status is a whole number from 200 to 599").unwrap_or_default(),
            _ => table.wrong("expect", item).unwrap_or_default(),
        }
    }
    statuses
}
