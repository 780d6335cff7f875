//! What `portcullis plugin inspect` shows of a file.

use super::connection::ConnectionPlan;
use super::describe::Description;
use super::grants::Import;
use super::load::{LoadError, Sandbox, digest};
use super::plan::Plan;
use super::plugin::ConfigureError;
use super::upstreams::{UpstreamPhases, UpstreamPlan};
use crate::chain::ConnectionPhases;
use crate::config::{FailurePolicy, GuestLimits, Isolation};
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
    pub upstream_phases: UpstreamPhases,
    pub description: Description,
    /// What it does with the settings `{}`; `Err` if it needs some.
    pub plan: Result<(Plan, ConnectionPlan, UpstreamPlan), ConfigureError>,
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
        let plan = plugin.configure(&empty, GuestLimits::default(), Isolation::Worker, FailurePolicy::default(), "inspect");
        Inspected {
            phases: plugin.phases(),
            connection_phases: plugin.connection_phases(),
            upstream_phases: plugin.upstream_phases(),
            description: plugin.description().clone(),
            plan: plan.map(|configured| (configured.plan().clone(), configured.connections().clone(), configured.upstreams().clone())),
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

/// Whether its allocator gives out an arena of which nothing is freed alone, so that all arguments of a call may lie in one block.
///
/// The SDK says so for its plugins with a custom section. It counts only if the module that has it is the one with the memory: around
/// a plugin that was composed with others, somebody else's allocator may stand. A plugin that lies harms itself alone.
pub(super) fn takes_one_block(bytes: &[u8]) -> bool {
    let (mut memories, mut ours, mut both, mut said) = (0, false, false, false);
    for payload in wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            // One module or component within another begins or ends.
            wasmparser::Payload::Version { .. } | wasmparser::Payload::End(_) => (ours, said) = (false, false),
            wasmparser::Payload::MemorySection(_) => {
                memories += 1;
                ours = true;
            }
            wasmparser::Payload::CustomSection(section) if section.name() == "portcullis:one-block" => said = true,
            _ => {}
        }
        both |= ours && said;
    }
    memories == 1 && both
}
