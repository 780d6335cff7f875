//! What one link's guests may do beyond deciding.

use crate::config::Allow;
use crate::observe::metrics::PluginSeries;
use crate::sandbox::stores::Store;
use crate::sandbox::time::Time;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An interface that can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    Log,
    Clock,
    Random,
    Secret,
    Metrics,
    Tracing,
    Kv,
    HttpClient,
}

impl Capability {
    pub const ALL: [Self; 8] =
        [Self::Log, Self::Clock, Self::Random, Self::Secret, Self::Metrics, Self::Tracing, Self::Kv, Self::HttpClient];

    /// The interface's name in the package.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Secret => "secret",
            Self::Metrics => "metrics",
            Self::Tracing => "tracing",
            Self::Kv => "kv",
            Self::HttpClient => "http-client",
        }
    }

    /// Whether `allow` has it at all.
    pub fn is_in(self, allow: &Allow) -> bool {
        match self {
            Self::Log => allow.log,
            Self::Clock => allow.clock,
            Self::Random => allow.random,
            Self::Secret => !allow.secret.is_empty(),
            Self::Metrics => allow.metrics,
            Self::Tracing => allow.tracing,
            Self::Kv => !allow.kv.is_empty(),
            Self::HttpClient => !allow.http.is_empty(),
        }
    }

    /// What to write in `allow`.
    pub const fn grant(self) -> &'static str {
        match self {
            Self::Log => "log = true",
            Self::Clock => "clock = true",
            Self::Random => "random = true",
            Self::Secret => "secret = [\"…\"]",
            Self::Metrics => "metrics = true",
            Self::Tracing => "tracing = true",
            Self::Kv => "kv = [\"…\"]",
            Self::HttpClient => "http = [\"…\"]",
        }
    }

    pub(in crate::sandbox) fn of(interface: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.interface() == interface)
    }
}

/// What the operator granted, with what the names stand for. Nothing by default.
#[derive(Default)]
pub struct Rights {
    pub granted: BTreeSet<Capability>,
    /// The plugin's own; `None`: not granted.
    pub metrics: Option<Arc<PluginSeries>>,
    pub secrets: BTreeMap<String, Bytes>,
    pub stores: BTreeMap<String, Arc<Store>>,
    /// Upstreams.
    pub http: BTreeSet<String>,
    /// The machine's, unless a tool holds it.
    pub time: Time,
}

impl Rights {
    pub fn has(&self, capability: Capability) -> bool {
        self.granted.contains(&capability)
    }

    /// Whether guests can do the same with either, on the same stores and series.
    pub fn is(&self, other: &Self) -> bool {
        let Self { granted, metrics, secrets, stores, http, time } = self;
        let series = |series: &Option<Arc<PluginSeries>>| series.as_ref().map(Arc::as_ptr);
        type Named<'a> = (&'a String, &'a Arc<Store>);
        let same = |(one, other): (Named<'_>, Named<'_>)| one.0 == other.0 && Arc::ptr_eq(one.1, other.1);
        let stores = stores.len() == other.stores.len() && stores.iter().zip(&other.stores).all(same);
        let named = stores && *time == other.time;
        named && *granted == other.granted && series(metrics) == series(&other.metrics) && *secrets == other.secrets && *http == other.http
    }

    /// Whether what is granted may have to be waited for.
    pub(in crate::sandbox) fn waits(&self, needs: &[(Capability, String)]) -> bool {
        let far = || self.stores.values().any(|store| store.is_far());
        needs.iter().any(|(capability, _)| match capability {
            Capability::HttpClient => !self.http.is_empty(),
            Capability::Kv => far(),
            _ => false,
        })
    }
}
