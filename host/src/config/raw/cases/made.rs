//! Made-up requests, responses and answers of upstreams.

use super::text;
use crate::config::cases::{
    Canned, CannedAnswer, MadeBody, MadeConnection, MadeEnding, MadeHello, MadeListener, MadeRequest, MadeResponse,
};
use crate::config::forms::{self, Wrong};
use crate::config::raw::Context;
use crate::config::raw::node::{Node, Value};
use crate::config::raw::reader::{Reader, one_or_many};
use crate::config::{Code, Diagnostic, keys};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// An address for documentation (RFC 5737), so that nobody's is meant.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

pub fn plain_request() -> MadeRequest {
    let url = Uri::from_static("https://example.test/");
    MadeRequest { method: Method::GET, url, headers: HeaderMap::new(), client: CLIENT, attributes: Vec::new(), body: None }
}

pub fn plain_response() -> MadeResponse {
    MadeResponse { status: StatusCode::OK, headers: HeaderMap::new(), body: None }
}

pub fn request(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<MadeRequest> {
    let mut made = plain_request();
    made.method = table.form("method", forms::method).unwrap_or(made.method);
    if table.entry("url").is_some() {
        made.url = table.form("url", url)?;
    }
    made.headers = headers(context, table, "headers");
    let address = |text: &str| text.parse().map_err(|_| Wrong::whole(text, "not an IP address").help("for example: 192.0.2.1"));
    made.client = table.form("client", address).unwrap_or(made.client);
    made.attributes = texts(context, table, "attributes");
    made.body = body(context, table);
    Some(made)
}

fn url(text: &str) -> Result<Uri, Wrong> {
    let parsed: Option<Uri> = text.parse().ok();
    let absolute = parsed.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some());
    absolute.ok_or_else(|| Wrong::whole(text, "not an absolute http or https URL").help("for example: https://app.test/x?y=z"))
}

pub fn response(context: &Context<'_>, table: &Reader<'_, '_>) -> MadeResponse {
    MadeResponse {
        status: status(table).unwrap_or(StatusCode::OK),
        headers: headers(context, table, "headers"),
        body: body(context, table),
    }
}

/// `None`: nothing is written of it.
fn body(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<MadeBody> {
    let trailers = table.entry("trailers").map(|_| headers(context, table, "trailers"));
    let Some(node) = table.get("body") else { return trailers.map(|trailers| MadeBody { trailers, ..MadeBody::default() }) };
    let pieces = one_or_many(node).iter().filter_map(|node| text(context, node, "body")).map(str::to_owned).collect();
    let stated = !matches!(node.value, Value::Array(_)) && trailers.is_none();
    Some(MadeBody { pieces, stated, trailers: trailers.unwrap_or_default() })
}

pub fn connection(context: &Context<'_>, table: &Reader<'_, '_>) -> MadeConnection {
    let mut made = MadeConnection::plain();
    made.listener = [MadeListener::Https, MadeListener::Http, MadeListener::Tcp][table.choice("listener").unwrap_or(0)];
    let socket = |text: &str| text.parse().map_err(|_| Wrong::whole(text, "no address with a port").help("for example: 192.0.2.1:50000"));
    made.peer = table.form("peer", socket).unwrap_or(made.peer);
    made.local = table.form("local", socket).unwrap_or(made.local);
    made.open = table.whole("connections").and_then(|open| u32::try_from(open).ok());
    made.attributes = texts(context, table, "attributes");
    let offered = [table.entry("sni"), table.entry("alpn")].into_iter().flatten().next();
    if let Some(entry) = offered {
        let alpn = table.get("alpn").map(one_or_many).unwrap_or_default();
        let alpn = alpn.iter().filter_map(|node| text(context, node, "alpn")).map(str::to_owned).collect();
        made.hello = Some(MadeHello { sni: table.string("sni").map(|(name, _)| name.to_owned()), alpn });
        if made.listener == MadeListener::Http {
            context.error::<()>(Code::Conflict, entry.key_span, "there is no client hello on a listener without TLS");
        }
    } else if made.listener != MadeListener::Https {
        made.hello = None;
    }
    let bytes = |key: &str| table.whole(key).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    let duration = table.duration("duration", Duration::ZERO).unwrap_or_default();
    made.ending = MadeEnding { received: bytes("received"), sent: bytes("sent"), duration, why: table.choice("reason").unwrap_or(0) };
    made
}

pub fn canned(context: &Context<'_>, node: &Node, path: String) -> Option<Canned> {
    let table = Reader::open(context, node, &keys::CANNED, path)?;
    if let (Some(fails), Some(other)) = (table.entry("fails"), ["status", "headers", "body"].into_iter().find_map(|key| table.entry(key))) {
        let found = Diagnostic::error(Code::Conflict, context.place(fails.key_span), "either it answers or it fails");
        context.report(found.note(context.place(other.key_span), "an answer"));
    }
    let body = table.string("body").map(|(body, _)| body.to_owned()).unwrap_or_default();
    let answer = match table.string("fails") {
        Some(("timeout", _)) => CannedAnswer::Timeout,
        Some((why, _)) => CannedAnswer::Failed(why.to_owned()),
        None => {
            CannedAnswer::Reply { status: status(&table).unwrap_or(StatusCode::OK), headers: headers(context, &table, "headers"), body }
        }
    };
    let method = table.form("method", forms::method);
    let path = table.string("path").map(|(path, _)| path.to_owned());
    Some(Canned { method, path, headers: headers(context, &table, "header"), answer })
}

fn status(table: &Reader<'_, '_>) -> Option<StatusCode> {
    table.whole("status").and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok())
}

/// Fields by name, each one value or several.
fn headers(context: &Context<'_>, table: &Reader<'_, '_>, key: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    let Some(Node { value: Value::Table(fields), .. }) = table.get(key) else {
        return table.get(key).and_then(|node| table.wrong(key, node)).unwrap_or_default();
    };
    for entry in &fields.entries {
        let name = context.form(&entry.key, entry.key_span, forms::header_name).and_then(|name| HeaderName::try_from(name).ok());
        for item in one_or_many(&entry.value) {
            let Some(value) = text(context, item, &entry.key) else { continue };
            let value = context.form(value, item.span, forms::header_value).and_then(|value| HeaderValue::try_from(value).ok());
            if let (Some(name), Some(value)) = (&name, value) {
                map.append(name, value);
            }
        }
    }
    map
}

fn texts(context: &Context<'_>, table: &Reader<'_, '_>, key: &str) -> Vec<(String, String)> {
    match table.get(key) {
        None => Vec::new(),
        Some(Node { value: Value::Table(texts), .. }) => {
            let pair = |entry: &super::Entry| Some((entry.key.clone(), text(context, &entry.value, &entry.key)?.to_owned()));
            texts.entries.iter().filter_map(pair).collect()
        }
        Some(other) => table.wrong(key, other).unwrap_or_default(),
    }
}
