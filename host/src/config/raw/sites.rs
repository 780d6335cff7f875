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
    let mut claimed: BTreeMap<SiteName, (usize, Place)> = BTreeMap::new();
    for (written, node, key_span, path) in section(root, "site") {
        let name = context.form(written, key_span, forms::site_name);
        let Some((site, aliases)) = one(context, node, key_span, path, name.as_ref(), &outside) else { continue };
        let Some(name) = name else { continue };
        for (name, span) in std::iter::once((name, key_span)).chain(aliases) {
            if let Some((site, other)) = claimed.insert(name.clone(), (sites.len(), context.place(span))) {
                let twice = site == sites.len();
                let message =
                    if twice { format!("the site claims the name `{name}` twice") } else { format!("two sites claim the name `{name}`") };
                context.report(Diagnostic::error(Code::SiteTwice, context.place(span), message).note(other, "the other one"));
            }
        }
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

/// A name with its place.
type Named = (SiteName, Span);

/// A site, and its aliases with their places.
fn one(
    context: &Context<'_>,
    node: &Node,
    key_span: Span,
    path: String,
    name: Option<&SiteName>,
    outside: &Outside<'_>,
) -> Option<(Site, Vec<Named>)> {
    let Outside { chains, links, issuer } = outside;
    let reader = Reader::open(context, node, &keys::SITE, path)?;
    let aliases = reader.list("aliases", forms::site_name).unwrap_or_default();
    let tls = tls(context, &reader, name, key_span, issuer, &aliases).filter(|tls| certifies(context, tls, &aliases));
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
    let site = Site {
        name: name.cloned().unwrap_or(SiteName::Any),
        aliases: aliases.iter().map(|(alias, _)| alias.clone()).collect(),
        tls: tls.unwrap_or(TlsSpec::Local),
        client,
        routes: all,
        at: context.location(key_span),
    };
    Some((site, aliases))
}

/// Whether ACME, if that is it, certifies the other names too. Files are looked at when they are read.
fn certifies(context: &Context<'_>, tls: &TlsSpec, aliases: &[Named]) -> bool {
    let TlsSpec::Acme(spec) = tls else { return true };
    let orderable = |(alias, span): &Named| acme::is_orderable(context, alias, &context.place(*span), spec);
    // All that is wrong is told.
    aliases.iter().filter(|alias| !orderable(alias)).count() == 0
}

fn tls(
    context: &Context<'_>,
    reader: &Reader<'_, '_>,
    name: Option<&SiteName>,
    key_span: Span,
    defaults: &AcmeIssuer,
    aliases: &[Named],
) -> Option<TlsSpec> {
    match reader.get("tls") {
        None => implied(context, reader, name?, key_span, defaults, aliases),
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
fn implied(
    context: &Context<'_>,
    reader: &Reader<'_, '_>,
    name: &SiteName,
    key_span: Span,
    defaults: &AcmeIssuer,
    aliases: &[Named],
) -> Option<TlsSpec> {
    if name.is_local() {
        for (alias, span) in aliases.iter().filter(|(alias, _)| !alias.is_local()) {
            let message = format!("`{name}` is certified by the local CA, which is not the default for `{alias}`");
            let found = Diagnostic::error(Code::Missing, context.place(*span), message);
            context.report(found.help("say for both: tls = \"local\", { cert = \"….pem\", key = \"….key\" }, or \"off\""));
        }
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
