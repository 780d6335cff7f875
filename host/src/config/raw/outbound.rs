//! The way to an upstream's servers: their addresses, and TLS.

use super::Context;
use super::inbound;
use super::names::Sort;
use super::node::{Node, Value};
use super::reader::{Reader, one_or_many, wrong_type};
use crate::config::diagnostic::Place;
use crate::config::source::Span;
use crate::config::{CertifiedFiles, Code, Component, Diagnostic, Protocol, ServerAddress, UpstreamServer, UpstreamTls, forms, keys};
use std::collections::BTreeSet;

/// A server with what its text says.
pub struct Written {
    pub spec: UpstreamServer,
    scheme: forms::Scheme,
    pub span: Span,
}

/// One server or a list of them: at least one, none twice. `path`: of the value, as in a header.
pub fn servers(context: &Context<'_>, node: &Node, path: &str) -> Option<Vec<Written>> {
    if one_or_many(node).is_empty() {
        return context.error(Code::Missing, node.span, "an upstream has at least one server");
    }
    let mut seen = BTreeSet::new();
    let mut servers = Vec::new();
    for item in one_or_many(node) {
        let Some(server) = server(context, item, path) else { continue };
        if !seen.insert(server.spec.address.clone()) {
            context.error(Code::Duplicate, server.span, format!("server {} is written twice", server.spec.address))?;
        }
        servers.push(server);
    }
    // Also if none could be read, so that the rest of the upstream is looked at; what is wrong has been said.
    Some(servers)
}

/// A string, or a table with more.
fn server(context: &Context<'_>, node: &Node, path: &str) -> Option<Written> {
    let (written, terms, span) = match &node.value {
        Value::String(text) => (context.form(text, node.span, forms::server)?, None, node.span),
        Value::Table(_) => {
            let reader = Reader::open(context, node, &keys::UPSTREAM_SERVER, path.to_owned())?;
            let terms = terms(context, &reader);
            let (text, span) = reader.string("address")?;
            let written = context.form(text, span, forms::server)?;
            if matches!(written.0, ServerAddress::Service { .. }) {
                told_by_records(context, &reader);
            }
            (written, Some(terms), span)
        }
        _ => {
            let example = "servers = [\"10.0.0.1:8080\", { address = \"10.0.0.2:8080\", weight = 2 }]";
            wrong_type(context, node, "a server as host:port or a table", Some(example.into()));
            return None;
        }
    };
    let (address, scheme) = written;
    let plain = UpstreamServer::plain(located(context, address, span)?, context.location(span));
    let spec = match terms {
        None => plain,
        Some(Terms { weight, tags, priority, zone }) => {
            UpstreamServer { weight: weight.unwrap_or(plain.weight), tags, priority: priority.unwrap_or(plain.priority), zone, ..plain }
        }
    };
    Some(Written { spec, scheme, span })
}

/// What a server's table says beside its address.
struct Terms {
    weight: Option<u32>,
    tags: Vec<String>,
    priority: Option<u16>,
    zone: Option<String>,
}

fn terms(context: &Context<'_>, reader: &Reader<'_, '_>) -> Terms {
    Terms {
        weight: reader.whole("weight").and_then(|weight| u32::try_from(weight).ok()),
        tags: tags(context, reader),
        priority: reader.whole("priority").and_then(|priority| u16::try_from(priority).ok()),
        zone: reader.form("zone", forms::tag),
    }
}

/// SRV records have weights and priorities of their own.
fn told_by_records(context: &Context<'_>, reader: &Reader<'_, '_>) {
    for key in ["weight", "priority"] {
        if let Some(entry) = reader.entry(key) {
            context.error(Code::Conflict, entry.key_span, format!("`{key}` is what SRV records say")).unwrap_or_default()
        }
    }
}

fn tags(context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<String> {
    let mut tags = Vec::new();
    for (tag, span) in reader.list("tags", forms::tag).unwrap_or_default() {
        if tags.contains(&tag) {
            context.error(Code::Duplicate, span, format!("tag {tag} is written twice")).unwrap_or_default()
        }
        tags.push(tag);
    }
    tags
}

/// A path relative to the file that names it.
fn located(context: &Context<'_>, address: ServerAddress, span: Span) -> Option<ServerAddress> {
    match address {
        ServerAddress::Unix(path) => inbound::socket(context, &path, span).map(ServerAddress::Unix),
        ServerAddress::Component(Component::File(path)) => {
            let path = path.to_str().map_or(path.clone(), |path| context.sources.resolve(span.file, path));
            Some(ServerAddress::Component(Component::File(path)))
        }
        ServerAddress::Component(Component::Declared(name)) => {
            let declared = context.refer(Sort::Plugin, &name.0, span);
            declared.then_some(ServerAddress::Component(Component::Declared(name)))
        }
        address @ (ServerAddress::Tcp { .. } | ServerAddress::Service { .. }) => Some(address),
    }
}

/// Without `tls`: on if the servers are written as https://, which then all must be.
pub fn implied(context: &Context<'_>, servers: &[Written], span: Span) -> Option<UpstreamTls> {
    let first = servers.iter().find(|server| server.scheme.tls)?;
    if let Some(other) = servers.iter().find(|server| !server.scheme.tls) {
        let message = format!("server {} is in the clear and {} is not", other.spec.address, first.spec.address);
        let found = Diagnostic::error(Code::Conflict, context.place(other.span), message).note(context.place(first.span), "the other one");
        context.report(found.help("an upstream has TLS for all of its servers or for none; two upstreams can differ"));
    }
    Some(UpstreamTls { ca: None, crl: None, verify: true, name: None, sni: None, client: None, at: context.location(span) })
}

/// `tls` of an upstream, or what its servers imply.
pub fn tls(context: &Context<'_>, reader: &Reader<'_, '_>, servers: &[Written]) -> Option<UpstreamTls> {
    let spec = match reader.get("tls") {
        None => implied(context, servers, reader.span),
        Some(Node { value: Value::Boolean(true), span }) => {
            Some(UpstreamTls { ca: None, crl: None, verify: true, name: None, sni: None, client: None, at: context.location(*span) })
        }
        Some(Node { value: Value::Boolean(false), span }) => {
            if let Some(server) = servers.iter().find(|server| server.scheme.tls) {
                let message = format!("tls = false, but a server is written as {}", server.scheme.written);
                let found = Diagnostic::error(Code::Conflict, context.place(*span), message);
                context.report(found.note(context.place(server.span), "here"));
            }
            None
        }
        Some(Node { value: Value::Table(_), span }) => table(context, reader, *span),
        Some(other) => reader.wrong("tls", other),
    }?;
    if spec.verify && spec.name.is_none() {
        for server in servers.iter().filter(|server| matches!(server.spec.address, ServerAddress::Unix(_))) {
            let message = format!("which name must the certificate of {} have?", server.spec.address);
            let found = Diagnostic::error(Code::Missing, context.place(server.span), message);
            let place: Place = spec.at.clone().into();
            context.report(found.note(place, "TLS is asked for here").help("for example: tls = { name = \"app.internal\" }"));
        }
    }
    Some(spec)
}

/// What the servers are spoken to in, by `protocol` or by what they are written as. `written`: the key's value.
pub fn protocol(context: &Context<'_>, servers: &[Written], tls: Option<&UpstreamTls>, written: Option<(Protocol, Span)>) -> Protocol {
    let implied = servers.iter().find_map(|server| Some((server.scheme, server.scheme.protocol?, server.span)));
    if let Some((scheme, protocol, span)) = implied {
        let other = servers.iter().find(|server| server.scheme.protocol.is_none());
        match (written, other) {
            (Some((Protocol::Http2, _)), _) | (None, None) => {}
            (Some((asked, at)), _) => {
                let message = format!("protocol = \"{}\", but a server is written as {}", asked.as_str(), scheme.written);
                let found = Diagnostic::error(Code::Conflict, context.place(at), message);
                context.report(found.note(context.place(span), "here"));
            }
            (None, Some(other)) => {
                let message = format!("server {} is not written as HTTP/2, and another is", other.spec.address);
                let found =
                    Diagnostic::error(Code::Conflict, context.place(other.span), message).note(context.place(span), "the other one");
                context.report(found.help("an upstream has one protocol for all of its servers: protocol = \"http2\" says it once"));
            }
        }
        if let (false, Some(tls)) = (scheme.tls, tls) {
            let message = format!("server {} asks for no TLS, and the upstream has it", scheme.written);
            let place: Place = tls.at.clone().into();
            let found = Diagnostic::error(Code::Conflict, context.place(span), message).note(place, "TLS is asked for here");
            context.report(found.help(if scheme.written == "grpc://" { "write grpcs://" } else { "write h2://" }));
        }
        return protocol;
    }
    let Some((protocol, at)) = written else { return Protocol::default() };
    if let (Protocol::Auto, None) = (protocol, tls) {
        let found = Diagnostic::error(Code::Conflict, context.place(at), "`auto` asks servers over TLS, which this upstream does not have");
        context.report(found.help("in the clear, write \"http1\" or \"http2\""));
    }
    let inside = servers.iter().find(|server| matches!(server.spec.address, ServerAddress::Component(_)));
    if let (Protocol::Http2 | Protocol::Auto, Some(inside)) = (protocol, inside) {
        let found = Diagnostic::error(Code::Conflict, context.place(at), format!("{} is spoken to in HTTP/1.1", inside.spec.address));
        context.report(found.note(context.place(inside.span), "it runs in this process"));
    }
    protocol
}

fn table(context: &Context<'_>, reader: &Reader<'_, '_>, span: Span) -> Option<UpstreamTls> {
    let table = reader.open_key("tls", &keys::UPSTREAM_TLS)?;
    let path = |key: &str| table.string(key).map(|(path, span)| (context.sources.resolve(span.file, path), span));
    let verify = truth(&table, "verify").unwrap_or(true);
    let (ca, name) = (path("ca"), table.form("name", forms::peer_name));
    if !verify {
        unverified(context, &table);
    }
    Some(UpstreamTls {
        ca: ca.map(|(path, _)| path),
        crl: path("crl").map(|(path, span)| (path, context.location(span))),
        verify,
        name,
        sni: table.form("sni", forms::dns_name),
        client: client(context, &table),
        at: context.location(span),
    })
}

/// Says that anybody could be the server.
fn unverified(context: &Context<'_>, table: &Reader<'_, '_>) {
    let Some(entry) = table.entry("verify") else { return };
    let message = "the servers need not prove who they are: whoever is on the way there can read and change everything";
    let found = Diagnostic::warning(Code::Unverified, context.place(entry.value.span), message);
    context.report(found.help("give their CA instead: tls = { ca = \"….pem\" }"));
    for key in ["ca", "crl", "name"] {
        if let Some(unused) = table.entry(key) {
            context.error(Code::Conflict, unused.key_span, format!("`{key}` means nothing with verify = false")).unwrap_or_default()
        }
    }
}

/// Both halves or neither.
fn client(context: &Context<'_>, table: &Reader<'_, '_>) -> Option<CertifiedFiles> {
    let path = |key: &str| table.string(key).map(|(path, span)| (context.sources.resolve(span.file, path), span));
    for (there, missing) in [("cert", "key"), ("key", "cert")] {
        if let (Some(entry), None) = (table.entry(there), table.entry(missing)) {
            context.error::<()>(Code::Conflict, entry.key_span, format!("`{there}` needs `{missing}` beside it"));
        }
    }
    let (cert, key) = (path("cert")?, path("key")?);
    Some(CertifiedFiles { cert: cert.0, key: key.0, at: context.location(cert.1), key_at: context.location(key.1), ocsp: None })
}

fn truth(reader: &Reader<'_, '_>, key: &str) -> Option<bool> {
    match reader.get(key)? {
        Node { value: Value::Boolean(truth), .. } => Some(*truth),
        other => reader.wrong(key, other),
    }
}
