//! Text → checked values. Knows no socket, no clock and no Wasm; what it hands out is as meant, not as written.
//!
//! In reading order: `source` (files and places in them), `diagnostic` (what is wrong and where), `keys` (what can be written),
//! `raw` (TOML with spans → meant), then one file per thing a user declares, then what is made for other rooms.

mod acme;
mod admin;
pub mod cases;
mod chain;
mod changes;
mod code;
mod defaults;
mod diagnostic;
mod forms;
mod keys;
mod layout;
mod limits;
mod limits_table;
mod listen;
mod location;
mod observe;
mod pattern;
mod placeless;
mod platform;
mod plugin;
mod raised;
mod raw;
mod recorded;
mod render;
mod route;
mod schema;
mod server;
mod settings;
mod site;
mod source;
mod stamp;
mod surroundings;
mod tcp;
mod trust;
mod units;
mod upstream;

pub use acme::{AcmeChallenge, AcmeEab, AcmeIssuer, AcmeSpec};
pub use admin::AdminSpec;
pub use chain::{LinkOrigin, LinkSpec, PluginRef, When, sounds_secret};
pub use changes::{Change, How};
pub use code::Code;
pub use defaults::{DefaultRow, Defaults};
pub use diagnostic::{Diagnostic, Extent, Place, Report, Severity};
pub use forms::plugin_name;
pub use limits::{Limits, RouteTimeouts};
pub use listen::{ListenAddress, ListenSpec, Peers};
pub use location::Location;
pub use observe::{Collector, ObserveSpec, Signal};
pub use placeless::Placeless;
pub use platform::{Secret, StoreBackend, StoreName, StoreSpec};
pub use plugin::{Allow, BreakerSpec, FailPolicy, FailurePolicy, GuestLimits, Isolation, PluginName, PluginSource, PluginSpec};
pub use recorded::{Recorded, Recorder};
pub use route::{FieldMatch, InjectedFaults, MirrorSpec, PathMatch, RetrySpec, Route, RouteMatch};
pub use schema::{cases_schema, schema};
pub use server::{AccessLog, AccessRules, ServerSpec};
pub use settings::{SettingsSchema, check_settings, upstreams_named};
pub use site::{CertifiedFiles, ClientCertForward, ClientCertSpec, Site, SiteName, TlsSpec};
pub use stamp::FileStamp;
pub use tcp::{TcpRoute, TcpSpec, TcpTls};
pub use trust::{KeptKey, Reference, SigningKey};
pub use units::{check_duration, show_duration};
pub use upstream::{
    Balance, Component, HashKey, HealthSpec, LimitsSpec, Look, Protocol, ProxyVersion, Running, ServerAddress, StickySpec, UpstreamName,
    UpstreamServer, UpstreamSpec, UpstreamTls,
};

pub use surroundings::{Disk, Memory, Surroundings};

use std::collections::BTreeMap;
use std::path::Path;

/// One loaded configuration, checked as far as text alone allows. Components and certificates are read later, by `app`.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub server: ServerSpec,
    pub listen: ListenSpec,
    pub limits: Limits,
    /// In file order. Names are unique.
    pub sites: Vec<Site>,
    /// In file order.
    pub tcp: Vec<TcpSpec>,
    pub upstreams: BTreeMap<UpstreamName, UpstreamSpec>,
    /// Declared in `[plugin.x]`. Bundled plugins need no declaration and are not in here unless re-declared with limits.
    pub plugins: BTreeMap<PluginName, PluginSpec>,
    /// Components that are servers of upstreams.
    pub services: BTreeMap<Component, PluginSpec>,
    pub stores: BTreeMap<StoreName, StoreSpec>,
    pub secrets: BTreeMap<String, Secret>,
    /// `None`: nobody can look.
    pub admin: Option<AdminSpec>,
    /// `None`: nothing is traced.
    pub observe: Option<ObserveSpec>,
}

/// Reads a configuration and everything it includes. `Ok` has at most warnings in its report; `Err` has every error at once.
pub fn load(path: &Path) -> Result<(Config, Report), Report> {
    load_from(path, &Disk)
}

/// The same from elsewhere than the file system.
pub fn load_from(path: &Path, around: &dyn Surroundings) -> Result<(Config, Report), Report> {
    let (config, report) = raw::config(raw::gather(path, around), around);
    if report.errors() == 0 { Ok((config, report)) } else { Err(report) }
}

/// A file of cases for a plugin that is called `plugin`. `Ok` has at most warnings in its report.
pub fn load_cases(path: &Path, plugin: &str) -> Result<(cases::Cases, Report), Report> {
    raw::cases(path, plugin, &Disk)
}

/// Settings that stand in a TOML file of their own, as those of a link.
pub fn load_settings(path: &Path, plugin: &str) -> Result<(LinkSpec, Report), Report> {
    raw::lone_settings(path, plugin, &Disk)
}

/// A file's text in its canonical layout. `Err`: where it is not TOML.
pub fn format(path: &Path, text: &str) -> Result<String, Report> {
    let memory = Memory { files: [(path.to_path_buf(), text.to_owned())].into(), ..Memory::default() };
    let (Ok((_, report)) | Err(report)) = load_from(path, &memory);
    // What else is wrong with it does not keep it from being laid out.
    let report = report.only(Code::Syntax);
    layout::canonical(text).filter(|_| report.errors() == 0).ok_or(report)
}

impl Config {
    /// Whether anybody wants the process's numbers.
    pub fn counts(&self) -> bool {
        self.admin.is_some() || self.observe.as_ref().is_some_and(|observe| observe.signals.contains(&Signal::Metrics))
    }

    /// Reads texts by name; the first is the main one, and the others are there to be included. No environment variables.
    pub fn parse(files: &[(&str, &str)]) -> Result<(Self, Report), Report> {
        let files_by_name = files.iter().map(|(name, text)| (name.into(), (*text).to_owned())).collect();
        let memory = Memory { files: files_by_name, ..Memory::default() };
        load_from(Path::new(files.first().map_or("portcullis.toml", |(name, _)| name)), &memory)
    }
}

#[cfg(test)]
mod tests;
