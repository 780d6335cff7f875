//! What the configuration grants, made real: stores are opened and secrets handed out once, and every link of a plugin shares them.

use super::watch::Watch;
use crate::config::{Allow, Config, Diagnostic, PluginRef, PluginSpec};
use crate::sandbox::{Capability, Grant, Rights, Store, Time};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that can be granted by name, and what each declared plugin got of it.
pub struct Granted<'w> {
    rights: BTreeMap<String, Arc<Rights>>,
    watch: &'w Watch,
}

impl<'w> Granted<'w> {
    /// Stores that cannot be opened are found.
    pub fn open(config: &Config, watch: &'w Watch, found: &mut Vec<Diagnostic>) -> Self {
        let mut stores = BTreeMap::new();
        for (name, spec) in &config.stores {
            match Store::open(spec) {
                Ok(store) => drop(stores.insert(name, Arc::new(store))),
                Err(why) => found.push(Diagnostic::store_unusable(&name.0, spec.at.clone(), &why)),
            }
        }
        let rights = config.plugins.iter().map(|(name, spec)| {
            let Allow { secret, kv, http, .. } = &spec.allow;
            let secrets = secret.iter().filter_map(|name| Some((name.clone(), Bytes::from(config.secrets.get(name)?.0.clone()))));
            let rights = Rights {
                granted: Capability::ALL.into_iter().filter(|capability| capability.is_in(&spec.allow)).collect(),
                metrics: spec.allow.metrics.then(|| watch.registry.plugins.plugin(&name.0)),
                secrets: secrets.collect(),
                stores: kv.iter().filter_map(|name| Some((name.0.clone(), stores.get(name)?.clone()))).collect(),
                http: http.iter().map(|upstream| upstream.0.clone()).collect(),
                time: Time::Real,
            };
            (name.0.clone(), Arc::new(rights))
        });
        Self { rights: rights.collect(), watch }
    }

    /// `spec`: of a declared plugin; others have what a plugin has when nothing is written.
    pub fn grant(&self, plugin: &PluginRef, spec: Option<&PluginSpec>) -> Grant {
        let rights = match plugin {
            PluginRef::Declared(name) => self.rights.get(&name.0).cloned().unwrap_or_default(),
            PluginRef::Bundled(_) => Arc::default(),
        };
        let (limits, isolation, fail) = spec.map(|spec| (spec.limits, spec.isolation, spec.fail)).unwrap_or_default();
        Grant { limits, isolation, fail, rights, census: self.watch.census(&plugin.to_string()) }
    }
}
