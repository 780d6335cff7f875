//! Links → configured plugins: each component is loaded once, each pair of plugin and settings configured once, whatever the number of
//! routes that use it.

use crate::config::{
    Code, Config, Diagnostic, FailurePolicy, GuestLimits, Isolation, LinkSpec, Location, Place, PluginRef, PluginSource, PluginSpec,
};
use crate::sandbox::{ConfigureError, Configured, Guests, LoadError, Plugin, Sandbox, bundled};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the links of a configuration run. Shared by all workers; each makes guests of its own from it.
pub struct Filters {
    configured: Vec<Arc<Configured>>,
    by_link: HashMap<(PluginRef, String), usize>,
}

/// How a plugin runs.
struct Terms {
    limits: GuestLimits,
    isolation: Isolation,
    fail: FailurePolicy,
}

impl Filters {
    /// Loads and configures. What is wrong is added to `found`; a link that could not be configured has no filter then.
    pub fn build(config: &Config, sandbox: &Sandbox, found: &mut Vec<Diagnostic>) -> Self {
        let plugins = load(config, sandbox, found);
        let mut filters = Self { configured: Vec::new(), by_link: HashMap::new() };
        for link in links(config) {
            let Some(plugin) = plugins.get(&link.plugin) else { continue };
            let key = (link.plugin.clone(), link.settings.to_string());
            if filters.by_link.contains_key(&key) {
                continue;
            }
            match configure(config, link, plugin) {
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

    /// One worker's filters, in the order of their indices.
    pub fn for_worker(&self) -> Vec<Guests> {
        self.configured.iter().map(Configured::for_worker).collect()
    }

    pub fn len(&self) -> usize {
        self.configured.len()
    }
}

/// Every link of every route, in file order.
fn links(config: &Config) -> impl Iterator<Item = &LinkSpec> {
    config.sites.iter().flat_map(|site| &site.routes).flat_map(|route| &route.chain)
}

/// All components that the configuration declares or uses.
fn load(config: &Config, sandbox: &Sandbox, found: &mut Vec<Diagnostic>) -> BTreeMap<PluginRef, Arc<Plugin>> {
    let declared = config.plugins.keys().cloned().map(PluginRef::Declared);
    let mut wanted: BTreeMap<PluginRef, Option<&PluginSpec>> = declared.map(|name| (name, None)).collect();
    wanted.extend(links(config).map(|link| (link.plugin.clone(), None)));
    for (name, spec) in &mut wanted {
        if let PluginRef::Declared(name) = name {
            *spec = config.plugins.get(name);
        }
    }
    let mut files = Vec::new();
    for (name, spec) in wanted {
        match read(&name, spec) {
            Ok(bytes) => files.push((name, spec, bytes)),
            Err(problem) => found.push(problem),
        }
    }
    let inputs: Vec<(&[u8], Option<[u8; 32]>)> =
        files.iter().map(|(_, spec, bytes)| (&**bytes, spec.and_then(|spec| spec.sha256))).collect();
    let loaded = sandbox.load_all(&inputs);
    let mut plugins = BTreeMap::new();
    for ((name, spec, _), loaded) in files.into_iter().zip(loaded) {
        match loaded {
            Ok(plugin) => drop(plugins.insert(name, plugin)),
            Err(error) => found.push(unloadable(&name, spec.map(|spec| &spec.source_at), &error)),
        }
    }
    plugins
}

fn read(name: &PluginRef, spec: Option<&PluginSpec>) -> Result<Cow<'static, [u8]>, Diagnostic> {
    let own = |bundled_name: &str| bundled::bundled(bundled_name).map(Cow::Borrowed);
    match (name, spec.map(|spec| &spec.source)) {
        (PluginRef::Bundled(bundled_name), _) => own(bundled_name),
        (_, Some(PluginSource::Bundled(bundled_name))) => own(bundled_name),
        (_, Some(PluginSource::Path(path))) => {
            let bytes = crate::sandbox::read_component(path);
            return bytes.map(Cow::Owned).map_err(|error| unloadable(name, spec.map(|spec| &spec.source_at), &error));
        }
        (PluginRef::Declared(_), None) => None,
    }
    .ok_or_else(|| {
        let message = format!("plugin `{name}` is not in this binary");
        Diagnostic { place: None, ..Diagnostic::error(Code::PluginUnreadable, Place::from(nowhere()), message) }
    })
}

fn nowhere() -> Location {
    Location { file: "".into(), line: 1, column: 1 }
}

fn unloadable(name: &PluginRef, at: Option<&Location>, error: &LoadError) -> Diagnostic {
    let code = match error.code() {
        "E031" => Code::NotGranted,
        "E033" => Code::PhaseMissing,
        _ => Code::PluginUnreadable,
    };
    let message = format!("plugin `{name}` {error}");
    let diagnostic = Diagnostic::error(code, Place::from(at.cloned().unwrap_or_else(nowhere)), message);
    let diagnostic = match error {
        LoadError::Digest { found, .. } => {
            let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            diagnostic.help(format!("if the new file is meant: sha256 = \"{hex}\""))
        }
        LoadError::Import(_) => diagnostic.help("see what it imports with: portcullis plugin inspect FILE"),
        _ => diagnostic,
    };
    if at.is_some() { diagnostic } else { Diagnostic { place: None, ..diagnostic } }
}

/// Checks a link's settings against the schema, then asks the plugin itself.
fn configure(config: &Config, link: &LinkSpec, plugin: &Arc<Plugin>) -> Result<(Arc<Configured>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let broken = check_settings(plugin.description().settings.as_ref(), link, &config.upstreams);
    if !broken.is_empty() {
        return Err(broken);
    }
    let spec = match &link.plugin {
        PluginRef::Declared(name) => config.plugins.get(name),
        PluginRef::Bundled(_) => None,
    };
    let terms = spec.map_or_else(Terms::usual, Terms::of);
    match plugin.configure(&link.settings, terms.limits, terms.isolation, terms.fail, &link.name) {
        Ok(configured) => {
            let warnings = configured.plan().warnings.iter();
            let warnings = warnings.map(|problem| refused_settings(link, &problem.path, &problem.message)).collect();
            Ok((configured, warnings))
        }
        Err(ConfigureError::Problems(problems)) => {
            Err(problems.iter().map(|problem| refused_settings(link, &problem.path, &problem.message)).collect())
        }
        Err(ConfigureError::Fault(fault)) => {
            let message = format!("plugin `{}` failed while reading its settings: {}", link.plugin, fault.detail);
            Err(vec![Diagnostic::error(Code::SettingsRefused, Place::from(link.at.clone()), message)])
        }
    }
}

impl Terms {
    fn usual() -> Self {
        Self { limits: GuestLimits::default(), isolation: Isolation::default(), fail: FailurePolicy::default() }
    }

    fn of(spec: &PluginSpec) -> Self {
        Self { limits: spec.limits, isolation: spec.isolation, fail: spec.fail }
    }
}

// TEMPORARY until the rooms bring them.
fn check_settings<T>(_: Option<&serde_json::Value>, _: &LinkSpec, _: T) -> Vec<Diagnostic> {
    Vec::new()
}
fn refused_settings(link: &LinkSpec, path: &str, message: &str) -> Diagnostic {
    Diagnostic::error(Code::SettingsRefused, Place::from(link.at.clone()), format!("{path} {message}"))
}
