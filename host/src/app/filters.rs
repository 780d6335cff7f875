//! Links → configured plugins: each component is loaded once, each pair of plugin and settings configured once, whatever the number of
//! routes that use it.

use super::granted::Granted;
use super::watch::Watch;
use crate::config::{Allow, Config, Diagnostic, LinkOrigin, LinkSpec, Location, PluginRef, PluginSource, PluginSpec, SettingsSchema};
use crate::sandbox::{
    Capability, ConfigureError, Configured, ConnectionPlan, Errands, Grant, Guests, LoadError, Plugin, Refusal, Sandbox, bundled,
    read_component,
};
use std::borrow::Cow;
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
    pub fn build(config: &Config, sandbox: &Sandbox, watch: &Watch, found: &mut Vec<Diagnostic>) -> Self {
        let plugins = load(config, sandbox, found);
        let granted = Granted::open(config, watch, found);
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
fn load(config: &Config, sandbox: &Sandbox, found: &mut Vec<Diagnostic>) -> BTreeMap<PluginRef, Loaded> {
    // Where a plugin is declared, else where it is used first.
    let mut wanted: BTreeMap<PluginRef, Origin<'_>> = BTreeMap::new();
    for (name, spec) in &config.plugins {
        wanted.insert(PluginRef::Declared(name.clone()), Origin::Declared(spec));
    }
    for link in links(config) {
        wanted.entry(link.plugin.clone()).or_insert(Origin::Used(link));
    }
    let mut files = Vec::new();
    for (name, origin) in wanted {
        match origin.read(&name) {
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

/// Why a component is wanted.
enum Origin<'c> {
    Declared(&'c PluginSpec),
    /// A bundled plugin; its first link.
    Used(&'c LinkSpec),
}

impl Origin<'_> {
    fn at(&self) -> Location {
        match self {
            Self::Declared(spec) => spec.source_at.clone(),
            Self::Used(link) => link.at.clone(),
        }
    }

    fn pin(&self) -> Option<[u8; 32]> {
        match self {
            Self::Declared(spec) => spec.sha256,
            Self::Used(_) => None,
        }
    }

    fn read(&self, name: &PluginRef) -> Result<Cow<'static, [u8]>, Box<Diagnostic>> {
        let own = match (self, name) {
            (Self::Declared(PluginSpec { source: PluginSource::Path(path), .. }), _) => {
                return read_component(path).map(Cow::Owned).map_err(|error| Box::new(self.unloadable(name, &error)));
            }
            (Self::Declared(PluginSpec { source: PluginSource::Bundled(own), .. }), _) | (_, PluginRef::Bundled(own)) => *own,
            (Self::Used(_), PluginRef::Declared(declared)) => &declared.0,
        };
        let missing = || Box::new(Diagnostic::plugin_unreadable(&name.to_string(), self.at(), &"it is not in this binary"));
        bundled::bundled(own).map(Cow::Borrowed).ok_or_else(missing)
    }

    /// What it imports and is not granted.
    fn refused(&self, name: &PluginRef, plugin: &Plugin) -> Vec<Diagnostic> {
        let nothing = Allow::default();
        let allow = match self {
            Self::Declared(spec) => &spec.allow,
            Self::Used(_) => &nothing,
        };
        let missing = plugin.needs().iter().filter(|(capability, _)| !capability.is_in(allow));
        let refused = |(capability, import): &(Capability, String)| {
            let help = format!("add: allow = {{ {} }}", capability.grant());
            Diagnostic::not_granted(&name.to_string(), self.at(), import, Some(&help))
        };
        missing.map(refused).collect()
    }

    fn unloadable(&self, name: &PluginRef, error: &LoadError) -> Diagnostic {
        let name = name.to_string();
        match (self, error) {
            (Self::Declared(spec), LoadError::Digest { found, pinned }) => {
                Diagnostic::digest_differs(&name, spec, &hex(pinned), &hex(found))
            }
            (Self::Declared(spec), LoadError::Import(Refusal::NotGranted { import } | Refusal::Item { import, .. })) => {
                Diagnostic::not_granted(&name, spec.at.clone(), import, None)
            }
            (_, error) => match error.code() {
                "E031" => Diagnostic::import_refused(&name, self.at(), error),
                "E033" => Diagnostic::phase_missing(&name, self.at(), error),
                _ => Diagnostic::plugin_unreadable(&name, self.at(), error),
            },
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
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
    let upstreams: Vec<&str> = config.upstreams.keys().map(|name| &*name.0).collect();
    settle(loaded, link, Some(&upstreams), granted.grant(&link.plugin, spec))
}

/// Checks a link's settings against the schema, then asks the plugin itself. `upstreams`: those that settings may name; `None`: any.
pub(super) fn settle(
    loaded: &Loaded,
    link: &LinkSpec,
    upstreams: Option<&[&str]>,
    grant: Grant,
) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    if let Some(schema) = &loaded.schema {
        let mut broken = schema.check(link);
        if let Some(known) = upstreams {
            let undefined = schema.upstreams(link).into_iter().filter(|(name, _)| !known.contains(&&**name));
            broken.extend(undefined.map(|(name, at)| Diagnostic::upstream_undefined(known.iter().copied(), &name, at)));
        }
        if !broken.is_empty() {
            return Err(broken);
        }
    }
    match loaded.plugin.configure_under(&link.settings, grant, &link.name) {
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
