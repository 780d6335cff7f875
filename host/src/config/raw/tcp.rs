//! `[tcp."address"]`: what a TCP listener does with connections, and what it shares an address with.

use super::Context;
use super::build::section;
use super::chains::Chains;
use super::inbound;
use super::names::Sort;
use super::node::{Entry, Node, Value};
use super::reader::{Reader, join, wrong_type};
use super::tcp_tls;
use crate::config::diagnostic::Place;
use crate::config::source::Span;
use crate::config::{
    AcmeIssuer, Code, Diagnostic, ListenSpec, Site, SiteName, TcpRoute, TcpSpec, TcpTls, TlsSpec, UpstreamName, forms, keys,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A listener, and where its parts are written.
pub struct Written {
    pub spec: TcpSpec,
    pub key_span: Span,
    pub to_span: Option<Span>,
    accept_span: Option<Span>,
    /// It is said how names are proved to a CA.
    pub proof_written: bool,
}

impl Written {
    /// Whether it may listen where an https listener does: then it takes the names in `sni`, and the sites everything else.
    pub fn can_share(&self) -> bool {
        self.spec.tls == TcpTls::Passthrough && !self.spec.sni.is_empty()
    }
}

/// `issuer`: what is written in `[acme]`.
pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, chains: &Chains, issuer: &AcmeIssuer) -> Vec<Written> {
    let all = section(root, "tcp").into_iter();
    all.filter_map(|(name, node, key_span, path)| one(context, (chains, issuer), name, node, key_span, path)).collect()
}

fn one(
    context: &Context<'_>,
    (chains, issuer): (&Chains, &AcmeIssuer),
    name: &str,
    node: &Node,
    key_span: Span,
    path: String,
) -> Option<Written> {
    let addresses = inbound::addresses(context, name, key_span);
    let reader = Reader::open(context, node, &keys::TCP, path)?;
    let to = upstream(context, &reader, "to");
    let tls = tcp_tls::read(context, &reader, issuer);
    let sni = sni(context, &reader);
    let timeout = reader.open_key("timeout", &keys::TCP_TIMEOUT);
    let idle = timeout.and_then(|timeout| timeout.duration("idle", Duration::from_millis(1)));
    let chain = chains.of_connections(context, &reader);
    let (tls, proof_written) = tls.map_or((None, false), |(tls, proof)| (Some(tls), proof));
    nowhere(context, &reader, tls.as_ref());
    let spec = TcpSpec {
        name: name.to_owned(),
        addresses: addresses?,
        tls: tls?,
        to,
        sni,
        idle,
        chain,
        proxy_protocol: inbound::accept(context, &reader),
        at: context.location(key_span),
    };
    let to_span = reader.entry("to").map(|entry| entry.key_span);
    let accept_span = reader.entry("accept").map(|entry| entry.key_span);
    Some(Written { spec, key_span, to_span, accept_span, proof_written })
}

/// A listener must have somewhere to lead, and can only go by a name that it is told.
fn nowhere(context: &Context<'_>, reader: &Reader<'_, '_>, tls: Option<&TcpTls>) {
    match (reader.entry("sni"), reader.entry("to")) {
        (Some(sni), _) if tls == Some(&TcpTls::Plain) => {
            let message = "`sni` needs `tls`: in plain TCP no server name is sent";
            let found = Diagnostic::error(Code::Conflict, context.place(sni.key_span), message);
            context.report(found.help("write tls = \"passthrough\", or tls = { cert = \"….pem\", key = \"….key\" } to end TLS here"));
        }
        (None, None) if !context.is_broken(reader.span.file) => {
            let message = format!("{} has neither `to` nor `sni`, so connections would lead nowhere", reader.section());
            context.report(Diagnostic::error(Code::Missing, context.place(reader.span), message).help("for example: to = \"db\""));
        }
        _ => {}
    }
}

fn upstream(context: &Context<'_>, reader: &Reader<'_, '_>, key: &str) -> Option<UpstreamName> {
    let (name, span) = reader.string(key)?;
    context.refer(Sort::Upstream, name, span).then(|| UpstreamName(name.to_owned()))
}

pub fn alpn(reader: &Reader<'_, '_>) -> Vec<String> {
    reader.list("alpn", forms::alpn).unwrap_or_default().into_iter().map(|(protocol, _)| protocol).collect()
}

fn sni(context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<TcpRoute> {
    let Some(table) = reader.open_key("sni", &keys::SNI) else { return Vec::new() };
    let mut routes: Vec<TcpRoute> = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in table.others() {
        let name = context.form(&entry.key, entry.key_span, server_name);
        let entries = entries(context, entry, &join(&table.path, &entry.key));
        let Some(name) = name else { continue };
        if !seen.insert(name.clone()) {
            let found = Diagnostic::error(Code::Duplicate, context.place(entry.key_span), format!("the name `{name}` is written twice"));
            context.report(found.help("several entries for one name are a list: [{ to = \"a\", alpn = [\"h2\"] }, { to = \"b\" }]"));
        }
        routes.extend(entries.into_iter().map(|(alpn, to, span)| TcpRoute { name: name.clone(), alpn, to, at: context.location(span) }));
    }
    if table.others().next().is_none() {
        let found = Diagnostic::error(Code::Missing, context.place(table.span), format!("{} has no name", table.section()));
        context.report(found.help("for example: { \"*.db.example.com\" = \"pg\" }"));
    }
    routes
}

/// A site's name, but for what SNI cannot say.
fn server_name(text: &str) -> Result<SiteName, forms::Wrong> {
    let name = forms::site_name(text)?;
    match &name {
        SiteName::Any => Err(forms::Wrong::whole(text, "any name is what `to` takes").help("write to = \"…\" beside `sni`")),
        SiteName::Exact(host) if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() => {
            Err(forms::Wrong::whole(text, "clients send no address as server name").help("what has no name goes to `to`"))
        }
        _ => Ok(name),
    }
}

type Target = (Vec<String>, UpstreamName, Span);

/// What stands behind one name.
fn entries(context: &Context<'_>, entry: &Entry, path: &str) -> Vec<Target> {
    let node = &entry.value;
    match &node.value {
        Value::String(name) if context.refer(Sort::Upstream, name, node.span) => {
            vec![(Vec::new(), UpstreamName(name.clone()), entry.key_span)]
        }
        Value::String(_) => Vec::new(),
        Value::Table(_) => target(context, node, path.to_owned(), entry.key_span).into_iter().collect(),
        Value::Array(items) if !items.is_empty() => {
            let targets: Vec<Target> = items.iter().filter_map(|item| target(context, item, path.to_owned(), item.span)).collect();
            shadowed(context, &targets);
            targets
        }
        _ => {
            let wanted = "an upstream, a table, or a list of tables";
            wrong_type(context, node, wanted, Some(format!("\"{}\" = {{ to = \"pg\", alpn = [\"postgresql\"] }}", entry.key)));
            Vec::new()
        }
    }
}

fn target(context: &Context<'_>, node: &Node, path: String, span: Span) -> Option<Target> {
    let reader = Reader::open(context, node, &keys::SNI_ENTRY, path)?;
    let to = upstream(context, &reader, "to");
    let alpn = alpn(&reader);
    if let (Some(entry), true) = (reader.entry("alpn"), alpn.is_empty())
        && matches!(&entry.value.value, Value::Array(items) if items.is_empty())
    {
        context.error(Code::Missing, entry.value.span, "`alpn` names at least one protocol; leave it out for every protocol")?;
    }
    Some((alpn, to?, span))
}

/// Protocols are looked for in order, so one that an earlier entry takes never reaches a later one.
fn shadowed(context: &Context<'_>, targets: &[Target]) {
    let mut taken: BTreeMap<Option<&str>, Span> = BTreeMap::new();
    for (alpn, _, span) in targets {
        let protocols: Vec<Option<&str>> = if alpn.is_empty() { vec![None] } else { alpn.iter().map(|name| Some(&**name)).collect() };
        if let Some(other) =
            protocols.iter().map(|protocol| taken.get(protocol)).collect::<Option<Vec<_>>>().and_then(|all| all.first().copied())
        {
            let found = Diagnostic::error(Code::RouteShadowed, context.place(*span), "this entry can never take a connection");
            context.report(found.note(context.place(*other), "this one takes the same protocols first"));
        }
        for protocol in protocols {
            taken.entry(protocol).or_insert(*span);
        }
    }
}

/// Names that a passthrough takes away from the sites of the same address, and defaults that would take all of them.
pub fn claims(context: &Context<'_>, all: &[Written], sites: &[Site], listen: &ListenSpec) {
    for written in all.iter().filter(|written| written.can_share() && written.spec.is_shared(listen)) {
        if let Some(span) = written.to_span {
            let message =
                format!("{} is an https listener too: what no entry of `sni` takes goes to the sites, not to `to`", written.spec.name);
            context.report(Diagnostic::error(Code::Conflict, context.place(span), message).help("leave `to` out, or use another address"));
        }
        if let Some(span) = written.accept_span {
            let message = format!("{} is an https listener too, and connections to it are accepted as [listen] says", written.spec.name);
            context.report(Diagnostic::error(Code::Conflict, context.place(span), message).help("write `accept` in [listen]"));
        }
        // With `alpn` only clients that offer it are passed through, which says enough.
        for route in written.spec.sni.iter().filter(|route| route.alpn.is_empty()) {
            if let Some(site) = sites.iter().find(|site| site.tls != TlsSpec::Off && site.names().any(|name| *name == route.name)) {
                let message = format!("`{}` is passed through here and served by a site on the same address", route.name);
                let found = Diagnostic::error(Code::SiteTwice, Place::from(route.at.clone()), message);
                context.report(found.note(Place::from(site.at.clone()), "the site"));
            }
        }
    }
}
