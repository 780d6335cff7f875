//! What the configuration grants, made real: stores are opened and secrets handed out once, and every link of a plugin shares them. A bundled
//! plugin has what the binary grants it, with the names that each link's settings give.

use super::watch::Watch;
use crate::config::{
    Allow, Config, Diagnostic, FailurePolicy, GuestLimits, Isolation, LinkSpec, Placeless, PluginName, PluginRef, PluginSource, PluginSpec,
    StoreName, StoreSpec,
};
use crate::sandbox::{Capability, Grant, Plugin, Remember, Rights, Store, Time, bundled};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that can be granted by name, and what each declared plugin got of it.
pub struct Granted {
    rights: BTreeMap<String, Arc<Rights>>,
    stores: BTreeMap<StoreName, (StoreSpec, Arc<Store>)>,
    watch: Arc<Watch>,
    /// Of the process.
    local: Arc<Store>,
}

/// What a link's settings name.
#[derive(Default)]
pub struct Named {
    pub stores: Vec<String>,
    pub upstreams: Vec<String>,
}

impl Granted {
    /// Stores that cannot be opened are found. Those of `before` that are meant to be the same go on with what is in them.
    pub fn open(config: &Config, watch: &Arc<Watch>, local: &Arc<Store>, before: Option<&Self>, found: &mut Vec<Diagnostic>) -> Self {
        let mut stores = BTreeMap::new();
        for (name, spec) in &config.stores {
            let kept = before.and_then(|before| before.stores.get(name)).filter(|(before, _)| before.means(spec));
            let opened = kept.map_or_else(|| Store::open(spec).map(Arc::new), |(_, store)| Ok(Arc::clone(store)));
            match opened {
                Ok(store) => drop(stores.insert(name.clone(), (spec.clone(), store))),
                Err(why) => found.push(Diagnostic::store_unusable(&name.0, spec.at.clone(), &why)),
            }
        }
        let mut granted = Self { rights: BTreeMap::new(), stores, watch: Arc::clone(watch), local: Arc::clone(local) };
        for (name, spec) in &config.plugins {
            granted.rights.insert(name.0.clone(), Arc::new(granted.written(config, name, &spec.allow)));
        }
        granted
    }

    /// What an `allow` grants.
    fn written(&self, config: &Config, name: &PluginName, allow: &Allow) -> Rights {
        let Allow { secret, kv, http, .. } = allow;
        let secrets = secret.iter().filter_map(|name| Some((name.clone(), Bytes::from(config.secrets.get(name)?.0.clone()))));
        Rights {
            granted: Capability::ALL.into_iter().filter(|capability| capability.is_in(allow)).collect(),
            metrics: allow.metrics.then(|| self.watch.registry.plugins.plugin(&name.0)),
            secrets: secrets.collect(),
            stores: kv.iter().filter_map(|name| Some((name.0.clone(), self.stores.get(name)?.1.clone()))).collect(),
            http: http.iter().map(|upstream| upstream.0.clone()).collect(),
            time: Time::Real,
        }
    }

    /// `spec`: of a declared plugin; others have what a plugin has when nothing is written.
    pub fn grant(&self, link: &LinkSpec, spec: Option<&PluginSpec>, named: Named) -> Grant {
        let rights = match &link.plugin {
            PluginRef::Declared(name) => self.rights.get(&name.0).cloned().unwrap_or_default(),
            PluginRef::Bundled(_) => Arc::default(),
        };
        let rights = match own(&link.plugin, spec).map(|own| (own, bundled::rights(own))) {
            None | Some((_, [])) => rights,
            Some((own, due)) => Arc::new(self.with_due(&rights, own, due, named)),
        };
        Grant { rights, census: self.watch.census(&link.plugin.to_string()), ..terms(link, spec) }
    }

    /// What the binary grants a plugin of its own, beside what is written.
    fn with_due(&self, written: &Rights, own: &str, due: &[Capability], named: Named) -> Rights {
        let mut rights = Rights { secrets: written.secrets.clone(), ..Rights::default() };
        rights.granted = written.granted.iter().chain(due).copied().collect();
        rights.metrics =
            written.metrics.clone().or_else(|| due.contains(&Capability::Metrics).then(|| self.watch.registry.plugins.plugin(own)));
        rights.stores.clone_from(&written.stores);
        rights.http.clone_from(&written.http);
        if due.contains(&Capability::Kv) {
            let stores = named.stores.into_iter().filter_map(|name| Some((name.clone(), self.stores.get(&StoreName(name))?.1.clone())));
            rights.stores.extend(stores);
            rights.stores.insert(bundled::LOCAL_STORE.to_owned(), Arc::clone(&self.local));
        }
        if due.contains(&Capability::HttpClient) {
            rights.http.extend(named.upstreams);
        }
        rights
    }
}

/// The bundled plugin that a link runs, if it does.
pub fn own(plugin: &PluginRef, spec: Option<&PluginSpec>) -> Option<&'static str> {
    match (plugin, spec.map(|spec| &spec.source)) {
        (PluginRef::Bundled(name), _) | (_, Some(PluginSource::Bundled(name))) => Some(name),
        _ => None,
    }
}

/// What is written of a link's guests, beside what they are granted.
pub fn terms(link: &LinkSpec, spec: Option<&PluginSpec>) -> Grant {
    let own = own(&link.plugin, spec);
    let usual = || (own.map_or_else(GuestLimits::default, GuestLimits::of_bundled), None, FailurePolicy::default());
    let (limits, isolation, fail) = spec.map_or_else(usual, |spec| (spec.limits, spec.isolation, spec.fail));
    // Ours may be asked for what is cheaper; what others keep from one exchange to the next, we do not know.
    let isolation = isolation.or_else(|| own.is_none().then(Isolation::default));
    let remember = Remember { wanted: spec.is_none_or(|spec| spec.remember), secret: link.has_secrets() };
    let breaker = spec.map(|spec| spec.breaker).unwrap_or_default();
    Grant { limits, isolation, fail, breaker, remember, ..Grant::default() }
}

/// Of a plugin of bodies that is not declared, nobody has said that exchanges should share a guest, which is lost for all of them when it
/// faults with one.
pub fn apart(grant: &mut Grant, spec: Option<&PluginSpec>, plugin: &Plugin) {
    if spec.is_none() && plugin.body_phases() != (false, false) {
        grant.isolation = Some(Isolation::Request);
    }
}
