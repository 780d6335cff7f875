//! What `explain` says of the guests behind a link: their phases, and whether their decisions are remembered. What a component imports and wants to
//! see is in it alone, so those of which it matters are loaded and asked for their plan. Nothing is granted: whoever has to be is not pure.

use super::filters::Filters;
use super::granted::{apart, terms};
use super::prepare::sandbox;
use super::state;
use crate::config::{Config, Isolation, LinkSpec, PluginRef, PluginSource, PluginSpec};
use crate::sandbox::{Forgets, Grant, Sandbox, bundled, exported_phases, read_component};
use crate::trust::{Shelf, kept};
use std::borrow::Cow;
use std::cell::OnceCell;

/// A link's guests.
#[derive(Default)]
pub struct Told {
    /// That the component exports; none if it cannot be read.
    pub phases: Vec<String>,
    /// A few words.
    pub memory: String,
}

/// The same of filters that are there.
pub fn known(filters: &Filters, config: &Config, chain: &[LinkSpec]) -> Vec<Told> {
    let one = |link: &LinkSpec| {
        let memory = match filters.of(link).map(|filter| (filter.isolation(), filter.remembers())) {
            Some((_, Ok(()))) => REMEMBERED.to_owned(),
            Some((Isolation::Request, Err(why))) => format!("a fresh guest each time; not remembered: {why}"),
            Some((Isolation::Worker, Err(_))) | None => KEPT.to_owned(),
        };
        let bytes = component(config, link, declared(config, link));
        Told { phases: bytes.as_deref().map(exported_phases).unwrap_or_default(), memory }
    };
    chain.iter().map(one).collect()
}

const KEPT: &str = "one guest per worker";
const REMEMBERED: &str = "decisions are remembered";

fn declared<'c>(config: &'c Config, link: &LinkSpec) -> Option<&'c PluginSpec> {
    match &link.plugin {
        PluginRef::Declared(name) => config.plugins.get(name),
        PluginRef::Bundled(_) => None,
    }
}

/// Of each link, in order.
pub fn told(config: &Config, chain: &[LinkSpec]) -> Vec<Told> {
    let loader = OnceCell::new();
    let one = |link: &LinkSpec| {
        let spec = declared(config, link);
        let bytes = component(config, link, spec);
        let phases = bytes.as_deref().map(exported_phases).unwrap_or_default();
        Told { phases, memory: memory(config, (link, spec), bytes.as_deref(), &loader) }
    };
    chain.iter().map(one).collect()
}

fn memory(
    config: &Config,
    (link, spec): (&LinkSpec, Option<&PluginSpec>),
    bytes: Option<&[u8]>,
    loader: &OnceCell<Option<Sandbox>>,
) -> String {
    let terms = terms(link, spec);
    if terms.isolation == Some(Isolation::Worker) {
        return KEPT.to_owned();
    }
    let loader = loader.get_or_init(|| {
        let place = state::place(config.server.state.as_deref());
        sandbox(Some(&place).filter(|place| place.is_dir()).map(|place| &**place)).ok()
    });
    match loader.as_ref().zip(bytes).and_then(|(sandbox, bytes)| remembers((sandbox, bytes), link, spec, terms)) {
        Some((_, Ok(()))) => REMEMBERED.to_owned(),
        Some((Isolation::Worker, Err(_))) => KEPT.to_owned(),
        Some((Isolation::Request, Err(why))) => format!("a fresh guest each time; not remembered: {why}"),
        None => "a fresh guest each time; `check` says why it cannot be loaded".to_owned(),
    }
}

/// Which guests it gets, and whether they are remembered. `None`: it cannot be loaded, or does not take its settings.
fn remembers(
    (sandbox, bytes): (&Sandbox, &[u8]),
    link: &LinkSpec,
    spec: Option<&PluginSpec>,
    mut terms: Grant,
) -> Option<(Isolation, Result<(), Forgets>)> {
    let plugin = sandbox.load(bytes, spec.and_then(|spec| spec.sha256).as_ref()).ok()?;
    apart(&mut terms, spec, &plugin);
    if let Some(import) = plugin.impure() {
        // Without being asked, only what is remembered gets fresh guests.
        return Some((terms.isolation.unwrap_or_default(), Err(Forgets::Impure(import.to_owned()))));
    }
    let configured = plugin.configure_under(&link.settings, terms, &link.name).ok()?;
    Some((configured.isolation(), configured.remembers().map_err(Clone::clone)))
}

/// Its file, if it is there.
fn component(config: &Config, link: &LinkSpec, spec: Option<&PluginSpec>) -> Option<Cow<'static, [u8]>> {
    let bytes = match (spec.map(|spec| &spec.source), &link.plugin) {
        (Some(PluginSource::Registry { digest, .. }), _) => {
            let shelf = Shelf::at(&state::place(config.server.state.as_deref()));
            Cow::Owned(kept(digest, &shelf)?.wasm)
        }
        (Some(PluginSource::Path(path)), _) => Cow::Owned(read_component(path).ok()?),
        (Some(PluginSource::Bundled(name)), _) | (None, PluginRef::Bundled(name)) => Cow::Borrowed(bundled::bundled(name)?),
        (None, PluginRef::Declared(_)) => return None,
    };
    Some(bytes)
}
