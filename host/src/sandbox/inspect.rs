//! What `portcullis plugin inspect` shows of a file.

use super::describe::Description;
use super::grants::Import;
use super::load::{LoadError, Sandbox, digest};
use super::plan::Plans;
use super::plugin::{ConfigureError, Grant};
use super::remembered::Forgets;
use super::upstreams::UpstreamPhases;
use crate::chain::ConnectionPhases;
use crate::config::Isolation;
use wasmtime::component::__internal::wasmtime_environ::wasmparser;

/// All about a component that can be known without a configuration.
#[derive(Debug)]
pub struct Inspection {
    /// Bytes.
    pub size: usize,
    /// SHA-256, for `sha256 = "…"`.
    pub digest: [u8; 32],
    pub imports: Vec<Import>,
    pub producers: Vec<Producer>,
    /// `Err`: why this proxy would refuse it.
    pub plugin: Result<Inspected, LoadError>,
}

/// What is known of a component that this proxy would take.
#[derive(Debug)]
pub struct Inspected {
    /// Whether it exports `on-request`, and `on-response`.
    pub phases: (bool, bool),
    pub connection_phases: ConnectionPhases,
    /// Whether it exports `on-request-body`, and `on-response-body`.
    pub body_phases: (bool, bool),
    pub upstream_phases: UpstreamPhases,
    pub description: Description,
    /// Whether its decisions can be remembered with a fresh guest for each exchange; under the settings `{}`, or else as far as is known without.
    pub remembers: Result<(), Forgets>,
    /// What it does with the settings `{}`; `Err` if it needs some.
    pub plan: Result<Plans, ConfigureError>,
}

/// A line of a `producers` section: which tool the file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// `language`, `processed-by`, `sdk`.
    pub field: String,
    pub name: String,
    pub version: String,
}

pub(super) fn inspect(sandbox: &Sandbox, bytes: &[u8]) -> Result<Inspection, LoadError> {
    let digest = digest(bytes);
    let component = sandbox.compile(bytes, &digest)?;
    let plugin = sandbox.load(bytes, None).map(|plugin| {
        let empty = serde_json::Value::Object(serde_json::Map::new());
        let plan = plugin.configure_under(&empty, Grant { isolation: Some(Isolation::Request), ..Grant::default() }, "inspect");
        let by_imports = || plugin.impure().map_or(Ok(()), |import| Err(Forgets::Impure(import.to_owned())));
        let remembers = match plan.as_ref().map(|configured| configured.remembers()) {
            // With other settings it will look at something.
            Ok(Err(Forgets::NoPhase)) | Err(_) => by_imports(),
            Ok(known) => known.map_err(Clone::clone),
        };
        Inspected {
            phases: plugin.phases(),
            connection_phases: plugin.connection_phases(),
            body_phases: plugin.body_phases(),
            upstream_phases: plugin.upstream_phases(),
            description: plugin.description().clone(),
            remembers,
            plan: plan.map(|configured| configured.plans().clone()),
        }
    });
    Ok(Inspection { size: bytes.len(), digest, imports: sandbox.imports(&component), producers: producers(bytes), plugin })
}

/// From all modules in the component, each once. What cannot be read is left out.
fn producers(bytes: &[u8]) -> Vec<Producer> {
    let mut found = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let wasmparser::Payload::CustomSection(section) = payload else { continue };
        let wasmparser::KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                let producer = Producer { field: field.name.to_owned(), name: value.name.to_owned(), version: value.version.to_owned() };
                if !found.contains(&producer) {
                    found.push(producer);
                }
            }
        }
    }
    found
}
