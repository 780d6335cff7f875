//! A file of cases for `plugin test`, and settings that stand in a file of their own for `plugin check` and `plugin bench`.

mod expect;
mod going_out;
mod made;

use super::json::{Settings, settings};
use super::names::Names;
use super::node::{Entry, Node, Table, Value};
use super::reader::{Reader, one_or_many, wrong_type};
use super::{Context, build, platform, plugins, syntax};
use crate::config::cases::{Canned, Case, Cases, ConnectionDeed, Deed, MadeExchange, Step, TickDeed};
use crate::config::source::{Source, Sources, Span};
use crate::config::surroundings::Surroundings;
use crate::config::{
    Code, Diagnostic, GuestLimits, LinkOrigin, LinkSpec, PluginName, PluginRef, Report, StoreName, UpstreamName, forms, keys,
};
use expect::About;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// 2026-01-01T00:00:00Z: a round time, so that what a plugin writes can be told in a case.
const NOW: u64 = 1_767_225_600;

/// Keys of a case that an exchange has, and nothing else.
const OF_REQUESTS: [&str; 10] =
    ["request", "expect", "balance", "expect-balance", "attempt", "expect-attempt", "response", "expect-response", "done", "expect-done"];
/// The same of a connection.
const OF_CONNECTIONS: [&str; 4] = ["connection", "expect-accept", "expect-hello", "expect-close"];

/// Reads a file of cases. `plugin`: what the one under test is called.
pub fn cases(path: &Path, plugin: &str, around: &dyn Surroundings) -> Result<(Cases, Report), Report> {
    read(path, around, |context, root| {
        let root = Reader::table(context, root, Span::default(), &keys::CASES, String::new());
        Reading { context, plugin }.file(&root)
    })
}

/// Reads a file of settings.
pub fn lone_settings(path: &Path, plugin: &str, around: &dyn Surroundings) -> Result<(LinkSpec, Report), Report> {
    read(path, around, |context, root| link(context, plugin, settings(context, plugin, root.entries.iter(), Span::default())))
}

fn read<T>(path: &Path, around: &dyn Surroundings, decode: impl FnOnce(&Context<'_>, &Table) -> T) -> Result<(T, Report), Report> {
    let mut sources = Sources::default();
    let text = around.read(path);
    let parsed = text.map(|text| {
        let source = Source::new(path, text);
        let parsed = syntax::parse(&source.text, 0);
        sources.add(source);
        parsed
    });
    let mut context = Context::new(&sources, around);
    let root = match parsed {
        Ok(mut parsed) => {
            syntax::report(&context, 0, &parsed);
            std::mem::take(&mut parsed.table)
        }
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            context.report(Diagnostic { place: None, ..Diagnostic::error(Code::Unreadable, context.place(Span::default()), message) });
            return Err(Report::new(context.into_found(), sources.clone()));
        }
    };
    context.names = Names::read(&root);
    let decoded = decode(&context, &root);
    let report = Report::new(context.into_found(), sources.clone());
    if report.errors() == 0 { Ok((decoded, report)) } else { Err(report) }
}

fn link(context: &Context<'_>, plugin: &str, Settings { value, at }: Settings) -> LinkSpec {
    let whole = at.get("").cloned().unwrap_or_else(|| context.location(Span::default()));
    LinkSpec {
        name: plugin.to_owned(),
        plugin: PluginRef::Declared(PluginName(plugin.to_owned())),
        settings: value,
        settings_at: at,
        when: None,
        origin: LinkOrigin::Route,
        at: whole,
    }
}

struct Reading<'r, 'c> {
    context: &'r Context<'c>,
    plugin: &'r str,
}

impl<'r> Reading<'r, '_> {
    fn file(&self, root: &Reader<'_, 'r>) -> Cases {
        let context = self.context;
        let subject = root.open_key("plugin", &keys::CASE_PLUGIN);
        let shared = subject.as_ref().and_then(|subject| self.config(subject));
        let secrets = build::section(root, "secret").into_iter();
        let secrets = secrets.filter_map(|(name, node, ..)| Some((name.to_owned(), text(context, node, name)?.to_owned())));
        Cases {
            allow: subject.as_ref().map(|subject| platform::allow(context, subject)).unwrap_or_default(),
            limits: subject
                .as_ref()
                .filter(|subject| subject.entry("limits").is_some())
                .map(|subject| plugins::limits(subject, GuestLimits::default())),
            isolation: subject.as_ref().and_then(plugins::isolation),
            now: self.now(root),
            secrets: secrets.collect(),
            stores: self.stores(root),
            upstreams: self.upstreams(root),
            cases: root.get("case").map(|node| self.cases(node, shared.as_ref())).unwrap_or_default(),
        }
    }

    /// The settings under `config`.
    fn config(&self, reader: &Reader<'_, '_>) -> Option<LinkSpec> {
        let entry = reader.entry("config")?;
        let Value::Table(table) = &entry.value.value else { return reader.wrong("config", &entry.value) };
        Some(link(self.context, self.plugin, settings(self.context, self.plugin, table.entries.iter(), entry.value.span)))
    }

    fn now(&self, root: &Reader<'_, '_>) -> SystemTime {
        let standard = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let Some(node) = root.get("now") else { return standard };
        let (Value::Datetime(written) | Value::String(written)) = &node.value else { return root.wrong("now", node).unwrap_or(standard) };
        match time::OffsetDateTime::parse(written, &time::format_description::well_known::Rfc3339) {
            Ok(moment) if moment.unix_timestamp() >= 0 => moment.into(),
            _ => {
                let found =
                    Diagnostic::error(Code::BadValue, self.context.place(node.span), format!("`{written}` is no moment since 1970"));
                self.context.report(found.help("for example: now = 2026-01-01T00:00:00Z"));
                standard
            }
        }
    }

    fn stores(&self, root: &Reader<'_, '_>) -> BTreeMap<StoreName, Vec<(String, String)>> {
        let mut stores = BTreeMap::new();
        for (name, node, key_span, _) in build::section(root, "kv") {
            let Some(named) = self.context.form(name, key_span, forms::name) else { continue };
            let Value::Table(table) = &node.value else {
                wrong_type(
                    self.context,
                    node,
                    "a table of what is in the store",
                    Some(format!("{name} = {{ \"a key\" = \"its value\" }}")),
                );
                continue;
            };
            let pair = |entry: &Entry| Some((entry.key.clone(), text(self.context, &entry.value, &entry.key)?.to_owned()));
            stores.insert(StoreName(named), table.entries.iter().filter_map(pair).collect());
        }
        stores
    }

    fn upstreams(&self, root: &Reader<'_, 'r>) -> BTreeMap<UpstreamName, Vec<Canned>> {
        let mut upstreams = BTreeMap::new();
        for (name, node, key_span, path) in build::section(root, "upstream") {
            let Some(named) = self.context.form(name, key_span, forms::name) else { continue };
            let answers = one_or_many(node).iter().filter_map(|node| made::canned(self.context, node, path.clone()));
            upstreams.insert(UpstreamName(named), answers.collect());
        }
        upstreams
    }

    fn cases(&self, node: &Node, shared: Option<&LinkSpec>) -> Vec<Case> {
        let cases: Vec<_> = one_or_many(node).iter().filter_map(|node| self.case(node, shared)).collect();
        if one_or_many(node).is_empty() {
            return self.context.error(Code::Missing, node.span, "there is no case").unwrap_or_default();
        }
        cases
    }

    fn case(&self, node: &Node, shared: Option<&LinkSpec>) -> Option<Case> {
        let reader = Reader::open(self.context, node, &keys::CASE, "case".to_owned())?;
        let at = self.context.location(node.span);
        let empty = || {
            let nothing =
                Settings { value: serde_json::Value::Object(serde_json::Map::new()), at: BTreeMap::from([(String::new(), at.clone())]) };
            link(self.context, self.plugin, nothing)
        };
        let link = self.config(&reader).or_else(|| shared.cloned()).unwrap_or_else(empty);
        let (name, _) = reader.string("name")?;
        let name = name.to_owned();
        let refused = expect::refused(self.context, &reader);
        if !refused.is_empty() {
            return Some(Case { name, link, refused, steps: Vec::new(), at });
        }
        let mut steps = vec![self.step(&reader, Duration::ZERO, &[])?];
        for node in reader.get("then").map(one_or_many).unwrap_or_default() {
            let Some(then) = Reader::open(self.context, node, &keys::THEN, "case.then".to_owned()) else { continue };
            let after = then.duration("after", Duration::ZERO).unwrap_or_default();
            steps.extend(self.step(&then, after, &steps));
        }
        Some(Case { name, link, refused, steps, at })
    }

    fn step(&self, reader: &Reader<'_, 'r>, after: Duration, before: &[Step]) -> Option<Step> {
        let at = self.context.location(reader.span);
        if ["tick", "expect-tick"].into_iter().any(|key| reader.entry(key).is_some()) {
            return Some(Step { after, deed: Deed::Tick(self.tick(reader, before)), at });
        }
        // Ticks come between; what goes on is what was before them.
        let before = before.iter().rev().find(|step| !matches!(step.deed, Deed::Tick(_)));
        let goes_on = matches!(before, Some(Step { deed: Deed::Connection(_), .. })) && reader.entry("request").is_none();
        let deed = if goes_on || reader.entry("connection").is_some() {
            self.connection(reader, before).map(Box::new).map(Deed::Connection)
        } else {
            self.exchange(reader, before).map(|exchange| Deed::Exchange(Box::new(exchange)))
        };
        Some(Step { after, deed: deed?, at })
    }

    fn tick(&self, reader: &Reader<'_, '_>, before: &[Step]) -> TickDeed {
        self.nothing_of(reader, &OF_REQUESTS, "is of requests, and this is a tick");
        self.nothing_of(reader, &OF_CONNECTIONS, "is of connections, and this is a tick");
        let ticks = before.iter().filter(|step| matches!(step.deed, Deed::Tick(_))).count();
        going_out::tick(self.context, reader, ticks as u64)
    }

    /// A connection has nothing of an exchange, and the other way round.
    fn nothing_of(&self, reader: &Reader<'_, '_>, others: &[&str], why: &str) {
        for entry in others.iter().filter_map(|key| reader.entry(key)) {
            self.context.error::<()>(Code::Conflict, entry.key_span, format!("`{}` {why}", entry.key));
        }
    }

    fn expects_nothing(&self, reader: &Reader<'_, '_>, keys: &[&str], example: &str) {
        if keys.iter().all(|key| reader.entry(key).is_none()) {
            let place = self.context.place(reader.span);
            let found = Diagnostic::error(Code::Missing, place, format!("{} expects nothing", reader.section()));
            self.context.report(found.help(format!("for example: {example}")));
        }
    }

    fn connection(&self, reader: &Reader<'_, 'r>, before: Option<&Step>) -> Option<ConnectionDeed> {
        let context = self.context;
        let phases = ["expect-accept", "expect-hello", "expect-close"];
        self.nothing_of(reader, &OF_REQUESTS, "is of requests, and this is a connection");
        self.expects_nothing(reader, &phases, "expect-accept = { verdict = \"next\" }");
        let made = match (reader.open_key("connection", &keys::CONNECTION), before.map(|before| &before.deed)) {
            (Some(table), _) => made::connection(context, &table),
            (None, Some(Deed::Connection(before))) => before.made.clone(),
            (None, _) => return None,
        };
        let [accept, hello, close] =
            phases.map(|key| reader.open_key(key, &keys::EXPECT_CONNECTION).map(|table| expect::of_connection(context, &table)));
        Some(ConnectionDeed { made, accept, hello, close })
    }

    fn exchange(&self, reader: &Reader<'_, 'r>, before: Option<&Step>) -> Option<MadeExchange> {
        let context = self.context;
        self.nothing_of(reader, &["expect-accept", "expect-hello", "expect-close"], "is of connections: write `connection` too");
        let phases = ["expect", "expect-balance", "expect-attempt", "expect-response", "expect-done"];
        self.expects_nothing(reader, &phases, "expect = { verdict = \"next\" }");
        let request = match (reader.open_key("request", &keys::REQUEST), before.map(|before| &before.deed)) {
            (Some(table), _) => made::request(context, &table),
            (None, Some(Deed::Exchange(before))) => Some(before.request.clone()),
            (None, _) => Some(made::plain_request()),
        };
        let response = reader.open_key("response", &keys::RESPONSE).map(|table| made::response(context, &table));
        let bodied = request.as_ref().is_some_and(|made| made.body.is_some());
        let about = About { request: true, bodied };
        let expect = reader.open_key("expect", &keys::EXPECT).map(|table| expect::expected(context, &table, about));
        let about = About { request: false, bodied: response.as_ref().is_some_and(|made| made.body.is_some()) };
        let expect_response = reader.open_key("expect-response", &keys::EXPECT).map(|table| expect::expected(context, &table, about));
        let response = response.or_else(|| expect_response.as_ref().map(|_| made::plain_response()));
        let before = before.and_then(|before| if let Deed::Exchange(before) = &before.deed { Some(&before.going_out) } else { None });
        let going_out = going_out::read(context, reader, before);
        Some(MadeExchange { request: request?, response, expect, going_out, expect_response })
    }
}

/// A text; what else it is, is told.
fn text<'n>(context: &Context<'_>, node: &'n Node, key: &str) -> Option<&'n str> {
    match &node.value {
        Value::String(text) => Some(text),
        _ => {
            wrong_type(context, node, "a string", Some(format!("{key} = \"…\"")));
            None
        }
    }
}
