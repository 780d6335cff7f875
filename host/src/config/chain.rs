//! Links: a plugin's place in a chain, with its settings.

use super::{Location, PathMatch, PluginName};
use std::collections::BTreeMap;
use std::fmt;

/// One link of a route's chain, resolved: named chains are inlined, shorthand has become a link.
#[derive(Debug, Clone)]
pub struct LinkSpec {
    /// What logs and `without` call it: `as`, else the plugin's name.
    pub name: String,
    pub plugin: PluginRef,
    /// A JSON object; keys in file order.
    pub settings: serde_json::Value,
    /// Where the value a JSON pointer names was written (`""`, `/rate`, `/set/x-a` …), for E032 and schema errors; by `#` and pointer,
    /// where its key was. Ask through [`LinkSpec::place`].
    pub settings_at: BTreeMap<String, Location>,
    /// Without it, the link is always entered.
    pub when: Option<When>,
    pub origin: LinkOrigin,
    pub at: Location,
}

/// Which code a link runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginRef {
    /// One of the components in the binary.
    Bundled(&'static str),
    /// `[plugin.x]`.
    Declared(PluginName),
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled(name) => f.write_str(name),
            Self::Declared(name) => write!(f, "{name}"),
        }
    }
}

/// Who put the link there, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOrigin {
    /// `[server] chain`
    Server,
    /// `[site.x] chain` or shorthand
    Site,
    /// the route's `chain` or shorthand
    Route,
    /// `[listen] chain`, or that of a `[tcp.x]`: about connections, not requests
    Listener,
}

/// `when = { path = …, method = …, header = …, query = … }`: evaluated by the host, all parts must hold.
#[derive(Debug, Clone)]
pub struct When {
    pub path: Option<PathMatch>,
    pub methods: Vec<http::Method>,
    pub headers: Vec<super::FieldMatch>,
    pub query: Vec<super::FieldMatch>,
}

impl When {
    /// Whether all parts hold for a request; `path` in normal form.
    pub fn holds(&self, method: &http::Method, path: &str, query: Option<&str>, headers: &http::HeaderMap) -> bool {
        self.path.as_ref().is_none_or(|wanted| wanted.matches(path))
            && (self.methods.is_empty() || self.methods.contains(method))
            && super::FieldMatch::all_in_headers(&self.headers, headers)
            && super::FieldMatch::all_in_query(&self.query, query)
    }
}

impl LinkSpec {
    /// The settings for people to see: values that came from the environment or a file are masked.
    pub fn shown_settings(&self) -> serde_json::Value {
        let mut shown = self.settings.clone();
        for pointer in self.settings_at.keys().filter_map(|key| key.strip_prefix('!')) {
            if let Some(secret) = shown.pointer_mut(pointer) {
                *secret = "(secret)".into();
            }
        }
        shown
    }
}
