//! Links → configured plugins: each component is loaded once, each pair of plugin and settings configured once, whatever the number of
//! routes that use it.

use super::granted::{Granted, Named, apart};
use super::origin::{Origin, Origins};
use crate::config::{Component, Config, Diagnostic, LinkOrigin, LinkSpec, PluginName, PluginRef, SettingsSchema};
use crate::sandbox::{ConfigureError, Configured, Errands, Grant, Guests, Plugin, Sandbox};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// What the links of a configuration run. Shared by all workers; each makes guests of its own from it.
pub struct Filters {
    configured: Vec<Arc<Configured>>,
    by_link: HashMap<Key, usize>,
}

/// Links that are equal in this share a filter: plugin, settings, and whether these are secret.
type Key = (PluginRef, String, bool);

fn key(link: &LinkSpec) -> Key {
    (link.plugin.clone(), link.settings.to_string(), link.has_secrets())
}

/// One worker's guests of one generation.
#[derive(Default)]
pub struct HeldGuests {
    /// In the order of its filters.
    all: Vec<Rc<Guests>>,
    /// By filter. Guests hold theirs, so its address is nobody else's.
    by_filter: HashMap<*const Configured, Rc<Guests>>,
}

impl HeldGuests {
    /// Those of the next generation: what it shares with this one goes on.
    #[must_use]
    pub fn succeed(&self, next: &Filters, errands: &Errands) -> Self {
        let guests = |filter: &Arc<Configured>| self.of(filter).unwrap_or_else(|| Rc::new(filter.on_worker(Some(errands.clone()))));
        let all: Vec<_> = next.all().iter().map(guests).collect();
        let by_filter = next.all().iter().map(Arc::as_ptr).zip(all.iter().cloned()).collect();
        Self { all, by_filter }
    }

    pub fn of(&self, filter: &Arc<Configured>) -> Option<Rc<Guests>> {
        self.by_filter.get(&Arc::as_ptr(filter)).cloned()
    }

    pub fn all(&self) -> Rc<[Rc<Guests>]> {
        self.all.iter().cloned().collect()
    }
}

/// A loaded component with its compiled schema.
pub(super) struct Loaded {
    pub plugin: Arc<Plugin>,
    pub schema: Option<SettingsSchema>,
}

impl Filters {
    /// Loads and configures. What is wrong is added to `found`; a link that could not be configured has no filter then. Links that get the
    /// same as one of those `before` share its filter, and with it its guests.
    pub fn build(
        config: &Config,
        (sandbox, origins): (&Sandbox, &Origins),
        granted: &Granted,
        before: Option<&Self>,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let plugins = load(config, sandbox, origins, found);
        let mut filters = Self { configured: Vec::new(), by_link: HashMap::new() };
        for link in links(config) {
            let Some(plugin) = plugins.get(&link.plugin) else { continue };
            found.extend(misplaced(link, &plugin.plugin));
            let key = key(link);
            if filters.by_link.contains_key(&key) {
                continue;
            }
            match configure(config, granted, link, plugin, before) {
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
        self.by_link.get(&key(link)).copied()
    }

    /// The filter of a link.
    pub fn of(&self, link: &LinkSpec) -> Option<&Arc<Configured>> {
        self.configured.get(self.index(link)?)
    }

    /// In the order of their indices.
    pub fn all(&self) -> &[Arc<Configured>] {
        &self.configured
    }

    /// The plugins that links run, with the digests of their components.
    pub fn digests(&self) -> BTreeMap<&PluginRef, &[u8; 32]> {
        let mut digests = BTreeMap::new();
        for ((plugin, ..), index) in &self.by_link {
            if let Some(configured) = self.configured.get(*index) {
                digests.insert(plugin, configured.plugin().digest());
            }
        }
        digests
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
        _ if plugin.phases() != (false, false) || plugin.body_phases() != (false, false) || plugin.upstream_phases().any() => return None,
        _ => "exports no phase of requests, such as `on-request`; it belongs in the `chain` of [listen] or of a [tcp] listener",
    };
    Some(Diagnostic::phase_missing(&link.plugin.to_string(), link.at.clone(), &why))
}

/// Checks a link's settings against the schema, then asks the plugin itself.
fn configure(
    config: &Config,
    granted: &Granted,
    link: &LinkSpec,
    loaded: &Loaded,
    before: Option<&Filters>,
) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let spec = match &link.plugin {
        PluginRef::Declared(name) => config.plugins.get(name),
        PluginRef::Bundled(_) => None,
    };
    let upstreams = config.upstreams.keys().map(|name| &*name.0).collect();
    let known = Known { upstreams, stores: config.stores.keys().map(|name| &*name.0).collect() };
    settle(loaded, link, Some(&known), before, |named| {
        let mut grant = granted.grant(link, spec, named);
        apart(&mut grant, spec, &loaded.plugin);
        grant
    })
}

/// What settings may name.
pub(super) struct Known<'k> {
    pub upstreams: Vec<&'k str>,
    pub stores: Vec<&'k str>,
}

/// Checks a link's settings against the schema, then asks the plugin itself, unless one of those `before` is the same. `known`: `None`, if it
/// does not matter what they name.
pub(super) fn settle(
    loaded: &Loaded,
    link: &LinkSpec,
    known: Option<&Known<'_>>,
    before: Option<&Filters>,
    grant: impl FnOnce(Named) -> Grant,
) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let named = loaded.schema.as_ref().map_or(Ok(Named::default()), |schema| named(known, link, schema))?;
    let grant = grant(named);
    let kept = before.and_then(|before| before.of(link)).filter(|kept| kept.is(loaded.plugin.digest(), &grant, &link.name));
    let configured = match kept {
        Some(kept) => Ok(Arc::clone(kept)),
        None => loaded.plugin.configure_under(&link.settings, grant, &link.name),
    };
    match configured {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::SandboxOptions;

    fn build(text: &str, sandbox: &Sandbox, before: Option<&Filters>) -> Filters {
        let (config, _) = Config::parse(&[("a.toml", text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        let mut found = Vec::new();
        let granted = Granted::open(&config, &Arc::default(), sandbox.local_store(), None, &mut found);
        let origins = Origins::nobody(std::path::Path::new("/nowhere"));
        let filters = Filters::build(&config, (sandbox, &origins), &granted, before, &mut found);
        assert!(found.is_empty(), "{found:?}");
        filters
    }

    fn text(plugin: &str, value: &str) -> String {
        let site = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"app\" }\n";
        format!(
            "[plugin.headers]\n{plugin}\n{site}headers = {{ response = {{ set = {{ X = \"{value}\" }} }} }}\n[upstream]\napp = \"h:1\"\n"
        )
    }

    #[test]
    fn a_filter_goes_on_while_nothing_that_it_is_made_of_changes() {
        let sandbox = Sandbox::new(&SandboxOptions::default()).expect("a sandbox");
        let first = build(&text("", "1"), &sandbox, None);
        let shared = |other: &Filters| Arc::ptr_eq(&first.all()[0], &other.all()[0]);
        assert!(shared(&build(&format!("\n\n{}", text("", "1")), &sandbox, Some(&first))), "only its line has moved");
        for (plugin, value) in [
            ("", "2"),
            ("limits = { cpu = \"7ms\" }", "1"),
            ("fail = \"open\"", "1"),
            ("isolate = \"request\"", "1"),
            ("remember = false", "1"),
            ("breaker = { faults = 7 }", "1"),
            ("allow = { log = true }", "1"),
        ] {
            assert!(!shared(&build(&text(plugin, value), &sandbox, Some(&first))), "{plugin} {value}");
        }
        assert_eq!(sandbox.population().plugins, 1, "one component for all of them");
        drop(first);
        assert_eq!(sandbox.population().plugins, 0);
    }
}
