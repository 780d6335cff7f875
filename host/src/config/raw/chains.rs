//! `[chain]`: named chains, inlined where they are used; none may contain itself.

use super::Context;
use super::build::section;
use super::links;
use super::node::{Node, Value};
use super::reader::{Reader, wrong_type};
use crate::config::source::Span;
use crate::config::{Code, Diagnostic, LinkOrigin, LinkSpec, forms};
use std::collections::BTreeMap;

pub use super::links::Item;

/// More links than anybody reads; keeps chains of chains of chains from growing without bound.
const LINKS: usize = 256;

/// Deeper is a mistake, and would be deep recursion here.
const DEPTH: usize = 32;

/// Named chains with everything inlined. Their links' origins are set where they are used.
#[derive(Debug, Default)]
pub struct Chains {
    named: BTreeMap<String, Vec<LinkSpec>>,
}

/// Named chains as written.
type Written<'n> = BTreeMap<&'n str, (Vec<Item>, Span)>;

impl Chains {
    pub fn read(context: &Context<'_>, root: &Reader<'_, '_>) -> Self {
        let mut written = Written::new();
        for (name, node, key_span, path) in section(root, "chain") {
            context.form(name, key_span, forms::name);
            written.insert(name, (list(context, node, &path), key_span));
        }
        let mut chains = Self::default();
        for name in written.keys() {
            chains.inline(context, &written, name, &mut Vec::new());
        }
        chains
    }

    /// The items of a table's `chain`.
    pub fn items(&self, context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<Item> {
        reader.get("chain").map(|node| list(context, node, &reader.below("chain"))).unwrap_or_default()
    }

    /// The chain of a listener: there are no requests that `when` could speak of.
    pub fn of_connections(&self, context: &Context<'_>, reader: &Reader<'_, '_>) -> Vec<LinkSpec> {
        let links = self.resolve(&self.items(context, reader), LinkOrigin::Listener);
        for link in links.iter().filter(|link| link.when.is_some()) {
            let message = format!("link `{}` has `when`, which speaks of requests; a listener's chain sees connections", link.name);
            context.report(Diagnostic::error(Code::Conflict, link.at.clone().into(), message));
        }
        links
    }

    /// Links with named chains inlined.
    pub fn resolve(&self, items: &[Item], origin: LinkOrigin) -> Vec<LinkSpec> {
        let mut links = Vec::new();
        for item in items {
            match item {
                Item::Link(link) => links.push((**link).clone()),
                Item::Chain(name, _) => links.extend(self.named.get(name).into_iter().flatten().cloned()),
            }
        }
        links.iter_mut().for_each(|link| link.origin = origin.clone());
        links
    }

    /// Inlines one chain and, before it, those that it refers to; `open` are the names on the way here.
    fn inline<'n>(&mut self, context: &Context<'_>, written: &Written<'n>, name: &'n str, open: &mut Vec<(&'n str, Span)>) {
        let Some((items, key_span)) = written.get(name).filter(|_| !self.named.contains_key(name)) else { return };
        let mut links = Vec::new();
        open.push((name, *key_span));
        for item in items {
            match item {
                Item::Link(link) => links.push((**link).clone()),
                Item::Chain(other, span) => {
                    if let Some(at) = open.iter().position(|(name, _)| name == other) {
                        report_loop(context, open.get(at..).unwrap_or_default(), *span);
                    } else if open.len() >= DEPTH {
                        context.error(Code::ChainLoop, *span, format!("chains nest at most {DEPTH} deep")).unwrap_or(());
                    } else if let Some((other, _)) = written.get_key_value(&**other) {
                        self.inline(context, written, other, open);
                        links.extend(self.named.get(*other).into_iter().flatten().cloned());
                    }
                }
            }
        }
        open.pop();
        if links.len() > LINKS {
            context
                .error(Code::Conflict, *key_span, format!("chain `{name}` has {} links; {LINKS} is the most", links.len()))
                .unwrap_or(());
            links.truncate(LINKS);
        }
        self.named.insert(name.to_owned(), links);
    }
}

fn report_loop(context: &Context<'_>, names: &[(&str, Span)], closing: Span) {
    let first = names.first().map_or("", |(name, _)| name);
    let way: Vec<&str> = names.iter().map(|(name, _)| *name).chain([first]).collect();
    let mut found =
        Diagnostic::error(Code::ChainLoop, context.place(closing), format!("chain `{first}` refers to itself: {}", way.join(" → ")));
    found.notes = names.iter().map(|(name, span)| (context.place(*span), format!("chain `{name}`"))).collect();
    context.report(found);
}

fn list(context: &Context<'_>, node: &Node, path: &str) -> Vec<Item> {
    match &node.value {
        Value::Array(items) => items.iter().filter_map(|node| links::item(context, node, path)).collect(),
        _ => {
            wrong_type(context, node, "a list of links", Some("chain = [\"request-id\"]".into()));
            Vec::new()
        }
    }
}
