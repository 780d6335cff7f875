//! Text → checked values. Knows no socket, no clock and no Wasm; what it hands out is as meant, not as written.
//!
//! In reading order: `source` (files and places in them), `diagnostic` (what is wrong and where), `raw` (TOML with spans),
//! then one file per thing a user declares.

mod chain;
mod limits;
mod listen;
mod location;
mod plugin;
mod route;
mod server;
mod site;
mod upstream;

pub use chain::{LinkOrigin, LinkSpec, PluginRef, When};
pub use limits::{Limits, RouteTimeouts};
pub use listen::ListenSpec;
pub use location::Location;
pub use plugin::{FailPolicy, FailurePolicy, GuestLimits, Isolation, PluginName, PluginSource, PluginSpec};
pub use route::{FieldMatch, PathMatch, Route, RouteMatch};
pub use server::{AccessLog, ServerSpec};
pub use site::{CertifiedFiles, Site, SiteName, TlsSpec};
pub use upstream::{Balance, ServerAddress, UpstreamName, UpstreamSpec};

use std::collections::BTreeMap;

/// One loaded configuration, checked as far as text alone allows. Components and certificates are read later, by `app`.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub server: ServerSpec,
    pub listen: ListenSpec,
    pub limits: Limits,
    /// In file order. Names are unique.
    pub sites: Vec<Site>,
    pub upstreams: BTreeMap<UpstreamName, UpstreamSpec>,
    /// Declared in `[plugin.x]`. Bundled plugins need no declaration and are not in here unless re-declared with limits.
    pub plugins: BTreeMap<PluginName, PluginSpec>,
}
