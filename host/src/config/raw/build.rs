//! The whole: every section decoded, then what only the whole can tell.

use super::chains::Chains;
use super::names::Names;
use super::node::{Node, Table, Value};
use super::reader::Reader;
use super::{
    Context, Files, acme, admin, files, listen, observe, platform, plugins, server, services, sites, tcp, tcp_tls, trust, upstreams,
};
use crate::config::keys;
use crate::config::source::Span;
use crate::config::surroundings::Surroundings;
use crate::config::{Code, Config, Diagnostic, LinkOrigin, Report};

/// Decodes files into a configuration and what was found on the way. The configuration is only good if nothing found is an error.
pub fn config(files: Files, around: &dyn Surroundings) -> (Config, Report) {
    let Files { sources, mut parsed, unreadable } = files;
    let mut context = Context::new(&sources, around);
    files::report(&context, &parsed, &unreadable);
    let tables = parsed.iter_mut().map(|parsed| std::mem::take(&mut parsed.table)).collect();
    let root = files::merge(&context, tables);
    context.names = Names::read(&root);
    let config = decode(&context, &root);
    let found = context.into_found();
    (config, Report::new(found, sources))
}

fn decode(context: &Context<'_>, root: &Table) -> Config {
    let reader = Reader::table(context, root, Span::default(), &keys::ROOT, String::new());
    let trust = trust::read(context, &reader);
    let plugins = plugins::read(context, &reader, &trust);
    let (stores, secrets) = (platform::stores(context, &reader), platform::secrets(context, &reader));
    let mut upstreams = upstreams::read(context, &reader);
    let services = services::read(context, &reader, &upstreams, &plugins, &trust);
    let chains = Chains::read(context, &reader);
    let (server, outer) = server::read(context, &reader, &chains);
    upstreams::settle_in(context, &mut upstreams, server.zone.as_deref());
    let outer = chains.resolve(&outer, LinkOrigin::Server);
    let issuer = acme::defaults(context, &reader);
    let sites = sites::read(context, &reader, &chains, &outer, &issuer);
    let limits = server::limits(context, &reader);
    let mut tcp = tcp::read(context, &reader, &chains, &issuer);
    let listen = listen::read(context, &reader, &chains, &sites, &tcp);
    tcp::claims(context, &tcp, &sites, &listen);
    tcp_tls::prove(context, &mut tcp, &listen);
    let admin = admin::read(context, &reader, &listen, &tcp);
    let observe = observe::read(context, &reader);
    let tcp = tcp.into_iter().map(|written| written.spec).collect();
    let config = Config { server, listen, limits, sites, tcp, upstreams, services, plugins, stores, secrets, admin, observe };
    if config.sites.is_empty() && config.tcp.is_empty() && !context.any_error() {
        let found = Diagnostic::error(Code::Missing, context.place(Span::default()), "there is no site, so nothing would be served");
        context.report(found.help("for example: [site.localhost.routes]").help("             \"/*\" = \"app\""));
    }
    // What refers to a name may stand in a part that could not be read.
    if !context.any_error() {
        context.report_unused();
    }
    config
}

/// The table under a section of the root as its entries, each with its path; nothing if there is none.
pub fn section<'n>(root: &Reader<'n, '_>, name: &'static str) -> Vec<(&'n str, &'n Node, Span, String)> {
    let Some(node) = root.get(name) else { return Vec::new() };
    match &node.value {
        Value::Table(table) => {
            let entry = |entry: &'n super::node::Entry| (&*entry.key, &entry.value, entry.key_span, super::reader::join(name, &entry.key));
            table.entries.iter().map(entry).collect()
        }
        _ => root.wrong(name, node).unwrap_or_default(),
    }
}
