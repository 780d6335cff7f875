//! `[site."name"]`: its name, its certificate, and what its routes inherit.

use super::Context;
use super::build::section;
use super::chains::Chains;
use super::node::{Node, Value};
use super::reader::{Reader, nearest};
use super::routes::{self, Inherited};
use super::{acme, certificate, client_certs, mirror, shadow, shorthand};
use crate::config::diagnostic::Place;
use crate::config::source::Span;
use crate::config::{AcmeIssuer, Code, Diagnostic, LinkOrigin, LinkSpec, Site, SiteName, TlsSpec, forms, keys};
use std::collections::BTreeMap;

/// `outer` are the links of `[server]`, `issuer` what is written in `[acme]`.
pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, chains: &Chains, outer: &[LinkSpec], issuer: &AcmeIssuer) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    let outside = Outside { chains, links: outer, issuer };
    let mut claimed: BTreeMap<SiteName, usize> = BTreeMap::new();
    for (written, node, key_span, path) in section(root, "site") {
        let name = context.form(written, key_span, forms::site_name);
        let Some(site) = one(context, node, key_span, path, name.as_ref(), &outside) else { continue };
        let Some(name) = name else { continue };
        if let Some(other) = claimed.get(&name).and_then(|index| sites.get(*index)) {
            let found = Diagnostic::error(Code::SiteTwice, context.place(key_span), format!("two sites claim the name `{name}`"));
            context.report(found.note(Place::from(other.at.clone()), "the other one"));
        }
        claimed.insert(name, sites.len());
        sites.push(site);
    }
    sites
}

/// What all sites start from.
struct Outside<'s> {
    chains: &'s Chains,
    /// Of `[server]`.
    links: &'s [LinkSpec],
    /// Of `[acme]`.
    issuer: &'s AcmeIssuer,
}

fn one(context: &Context<'_>, node: &Node, key_span: Span, path: String, name: Option<&SiteName>, outside: &Outside<'_>) -> Option<Site> {
    let Outside { chains, links, issuer } = outside;
    let reader = Reader::open(context, node, &keys::SITE, path)?;
    let tls = tls(context, &reader, name, key_span, issuer);
    let client = client_certs::read(context, &reader, &keys::CLIENT_CERTS);
    let mut inherited = links.to_vec();
    inherited.extend(shorthand::limit(context, &reader, LinkOrigin::Site));
    inherited.extend(shorthand::headers(context, &reader, LinkOrigin::Site));
    inherited.extend(chains.resolve(&chains.items(context, &reader), LinkOrigin::Site));
    let mirror = mirror::read(context, &reader);
    let inherited = Inherited { links: &inherited, mirror: mirror.as_ref() };
    let mut all = Vec::new();
    if let Some(table) = reader.open_key("routes", &keys::ROUTES) {
        for entry in table.others() {
            all.extend(routes::read(context, entry, &table.path, chains, inherited));
        }
        if table.others().next().is_none() {
            let found = Diagnostic::error(Code::Missing, context.place(table.span), format!("{} has no route", reader.section()));
            context.report(found.help("for example: \"/*\" = \"app\""));
        }
    }
    shadow::report(context, &all);
    Some(Site {
        name: name.cloned().unwrap_or(SiteName::Any),
        tls: tls.unwrap_or(TlsSpec::Local),
        client,
        routes: all,
        at: context.location(key_span),
    })
}

fn tls(context: &Context<'_>, reader: &Reader<'_, '_>, name: Option<&SiteName>, key_span: Span, defaults: &AcmeIssuer) -> Option<TlsSpec> {
    match reader.get("tls") {
        None => implied(context, reader, name?, key_span, defaults),
        Some(Node { value: Value::Table(_), .. }) => {
            let table = reader.open_key("tls", &keys::TLS)?;
            certificate::long(context, &table, || acme::long(context, &table, defaults, name))
        }
        Some(Node { value: Value::String(text), span }) => match &**text {
            "off" => Some(TlsSpec::Off),
            "local" => Some(TlsSpec::Local),
            "acme" => acme::short(context, *span, defaults, name?),
            other => {
                let found = Diagnostic::error(Code::BadValue, context.place(*span), format!("`{other}` is no choice here"));
                let near = nearest(other, ["off", "local", "acme"].into_iter());
                let found = Diagnostic { label: near.map(|near| format!("did you mean \"{near}\"?")), ..found };
                context.report(found.help("choices: \"off\", \"local\", \"acme\", { cert = \"….pem\", key = \"….key\" }"));
                None
            }
        },
        Some(other) => reader.wrong("tls", other),
    }
}

/// Without `tls`: the local CA for names that no public one would certify, ACME for the others.
fn implied(context: &Context<'_>, reader: &Reader<'_, '_>, name: &SiteName, key_span: Span, defaults: &AcmeIssuer) -> Option<TlsSpec> {
    let local = match name {
        SiteName::Exact(name) | SiteName::Wildcard(name) => is_local(name),
        SiteName::Any => false,
    };
    if local {
        return Some(TlsSpec::Local);
    }
    if context.is_broken(reader.span.file) {
        return None;
    }
    match name {
        SiteName::Exact(_) => acme::short(context, key_span, defaults, name),
        _ => {
            let message = format!("site `{name}` needs `tls`: ACME, which is the default for public names, has no certificate for it");
            let found = Diagnostic::error(Code::Missing, context.place(key_span), message);
            context.report(found.help("use tls = { cert = \"….pem\", key = \"….key\" }, \"local\" for the local CA, or \"off\""));
            None
        }
    }
}

/// Whether a name is `localhost`, below `localhost`, `test` or `internal`, or an address.
pub fn is_local(name: &str) -> bool {
    is_address(name)
        || ["localhost", "test", "internal"]
            .iter()
            .any(|last| name == *last || name.strip_suffix(last).is_some_and(|rest| rest.ends_with('.')))
}

pub fn is_address(name: &str) -> bool {
    name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok()
}
