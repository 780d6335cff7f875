//! Links → configured plugins: each component is loaded once, each pair of plugin and settings configured once, whatever the number of
//! routes that use it.

use super::granted::{Granted, Named};
use super::origin::{Origin, Origins};
use super::watch::Watch;
use crate::config::{Component, Config, Diagnostic, LinkOrigin, LinkSpec, PluginName, PluginRef, SettingsSchema};
use crate::sandbox::{ConfigureError, Configured, ConnectionPlan, Errands, Grant, Guests, Plugin, Sandbox};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the links of a configuration run. Shared by all workers; each makes guests of its own from it.
pub struct Filters {
    configured: Vec<Arc<Configured>>,
    by_link: HashMap<(PluginRef, String), usize>,
}

/// A loaded component with its compiled schema.
pub(super) struct Loaded {
    pub plugin: Arc<Plugin>,
    pub schema: Option<SettingsSchema>,
}

impl Filters {
    /// Loads and configures. What is wrong is added to `found`; a link that could not be configured has no filter then.
    pub fn build(config: &Config, sandbox: &Sandbox, origins: &Origins, watch: &Watch, found: &mut Vec<Diagnostic>) -> Self {
        let plugins = load(config, sandbox, origins, found);
        let granted = Granted::open(config, watch, sandbox.local_store(), found);
        let mut filters = Self { configured: Vec::new(), by_link: HashMap::new() };
        for link in links(config) {
            let Some(plugin) = plugins.get(&link.plugin) else { continue };
            found.extend(misplaced(link, &plugin.plugin));
            let key = (link.plugin.clone(), link.settings.to_string());
            if filters.by_link.contains_key(&key) {
                continue;
            }
            match configure(config, &granted, link, plugin) {
                Ok((configured, warnings)) => {
                    found.extend(warnings);
                    filters.by_link.insert(key, filters.configured.len());
                    filters.configured.push(configured);
                }
                Err(problems) => found.extend(problems),
            }
        }
        filters
    }

    /// The index of a link's filter. Every link of the configuration it was built from has one, if nothing was wrong.
    pub fn index(&self, link: &LinkSpec) -> Option<usize> {
        self.by_link.get(&(link.plugin.clone(), link.settings.to_string())).copied()
    }

    /// The filter of this index.
    pub fn configured(&self, index: usize) -> &Arc<Configured> {
        &self.configured[index]
    }

    /// What the filter of this index wants to know of connections.
    pub fn connections(&self, index: usize) -> &ConnectionPlan {
        self.configured[index].connections()
    }

    /// One worker's filters, in the order of their indices.
    pub fn on_worker(&self, errands: &Errands) -> Vec<Guests> {
        self.configured.iter().map(|configured| configured.on_worker(Some(errands.clone()))).collect()
    }

    pub fn len(&self) -> usize {
        self.configured.len()
    }
}

/// Every link of every route, in file order, then those of listeners.
fn links(config: &Config) -> impl Iterator<Item = &LinkSpec> {
    let routes = config.sites.iter().flat_map(|site| &site.routes).flat_map(|route| &route.chain);
    routes.chain(&config.listen.chain).chain(config.tcp.iter().flat_map(|listener| &listener.chain))
}

/// All components that the configuration declares or uses.
fn load(config: &Config, sandbox: &Sandbox, origins: &Origins, found: &mut Vec<Diagnostic>) -> BTreeMap<PluginRef, Loaded> {
    // Where a plugin is declared, else where it is used first.
    let mut wanted: BTreeMap<PluginRef, Origin<'_>> = BTreeMap::new();
    let is_service = |name: &PluginName| config.services.contains_key(&Component::Declared(name.clone()));
    let is_link = |name: &PluginName| links(config).any(|link| link.plugin == PluginRef::Declared(name.clone()));
    for (name, spec) in config.plugins.iter().filter(|(name, _)| !is_service(name) || is_link(name)) {
        wanted.insert(PluginRef::Declared(name.clone()), Origin::Declared(spec));
    }
    for link in links(config) {
        wanted.entry(link.plugin.clone()).or_insert(Origin::Used(link));
    }
    let fetched = origins.fetch(wanted.values());
    let mut files = Vec::new();
    for (name, origin) in wanted {
        match origin.read(&name, &fetched) {
            Ok(bytes) => files.push((name, origin, bytes)),
            Err(problem) => found.push(*problem),
        }
    }
    let inputs: Vec<(&[u8], Option<[u8; 32]>)> = files.iter().map(|(_, origin, bytes)| (&**bytes, origin.pin())).collect();
    let loaded = sandbox.load_all(&inputs);
    let mut plugins = BTreeMap::new();
    for ((name, origin, _), loaded) in files.iter().zip(loaded) {
        let plugin = match loaded {
            Ok(plugin) => {
                let refused = origin.refused(name, &plugin);
                if !refused.is_empty() {
                    found.extend(refused);
                    continue;
                }
                plugin
            }
            Err(error) => {
                found.push(origin.unloadable(name, &error));
                continue;
            }
        };
        match plugin.description().settings.as_ref().map(SettingsSchema::new).transpose() {
            Ok(schema) => drop(plugins.insert(name.clone(), Loaded { plugin, schema })),
            Err(error) => found.push(Diagnostic::plugin_unreadable(&name.to_string(), origin.at(), &error)),
        }
    }
    plugins
}

/// What a plugin has no phase for.
fn misplaced(link: &LinkSpec, plugin: &Plugin) -> Option<Diagnostic> {
    let why = match link.origin {
        LinkOrigin::Listener if plugin.connection_phases().any() => return None,
        LinkOrigin::Listener => {
            "exports no phase of connections (`on-accept`, `on-client-hello`, `on-close`), and requests are not seen in a listener's chain"
        }
        _ if plugin.phases() != (false, false) => return None,
        _ => "exports neither `on-request` nor `on-response`; it belongs in the `chain` of [listen] or of a [tcp] listener",
    };
    Some(Diagnostic::phase_missing(&link.plugin.to_string(), link.at.clone(), &why))
}

/// Checks a link's settings against the schema, then asks the plugin itself.
fn configure(
    config: &Config,
    granted: &Granted<'_>,
    link: &LinkSpec,
    loaded: &Loaded,
) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let spec = match &link.plugin {
        PluginRef::Declared(name) => config.plugins.get(name),
        PluginRef::Bundled(_) => None,
    };
    let upstreams = config.upstreams.keys().map(|name| &*name.0).collect();
    let known = Known { upstreams, stores: config.stores.keys().map(|name| &*name.0).collect() };
    settle(loaded, link, Some(&known), |named| granted.grant(&link.plugin, spec, named))
}

/// What settings may name.
pub(super) struct Known<'k> {
    pub upstreams: Vec<&'k str>,
    pub stores: Vec<&'k str>,
}

/// Checks a link's settings against the schema, then asks the plugin itself. `known`: `None`, if it does not matter what they name.
pub(super) fn settle(
    loaded: &Loaded,
    link: &LinkSpec,
    known: Option<&Known<'_>>,
    grant: impl FnOnce(Named) -> Grant,
) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let named = loaded.schema.as_ref().map_or(Ok(Named::default()), |schema| named(known, link, schema))?;
    match loaded.plugin.configure_under(&link.settings, grant(named), &link.name) {
        Ok(configured) => {
            let warnings = configured.plan().warnings.iter();
            let warnings = warnings.map(|problem| Diagnostic::settings_doubted(link, &problem.path, &problem.message)).collect();
            Ok((configured, warnings))
        }
        Err(ConfigureError::Problems(problems)) => {
            Err(problems.iter().map(|problem| Diagnostic::settings_refused(link, &problem.path, &problem.message)).collect())
        }
        Err(ConfigureError::Fault(fault)) => Err(vec![Diagnostic::settings_refused(link, "", &fault.detail)]),
    }
}

/// The upstreams and stores that a link's settings name, once the schema has nothing against them.
fn named(known: Option<&Known<'_>>, link: &LinkSpec, schema: &SettingsSchema) -> Result<Named, Vec<Diagnostic>> {
    let mut broken = schema.check(link);
    let mut named = Named::default();
    for (name, at) in schema.upstreams(link) {
        match known.filter(|known| !known.upstreams.contains(&&*name)) {
            None => named.upstreams.push(name),
            Some(known) => broken.push(Diagnostic::upstream_undefined(&known.upstreams, &name, at)),
        }
    }
    for (name, at) in schema.stores(link) {
        match known.filter(|known| !known.stores.contains(&&*name)) {
            None => named.stores.push(name),
            Some(known) => broken.push(Diagnostic::store_undefined(&known.stores, &name, at)),
        }
    }
    if broken.is_empty() { Ok(named) } else { Err(broken) }
}
