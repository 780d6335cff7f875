//! The sealed room: plugins, their guests, and every limit on them. The only room that names wasmtime.
//!
//! A file becomes a [`Plugin`] (compiled, its imports checked, nothing of it run but `describe`), a plugin with settings becomes a
//! [`Configured`], and each worker gets [`Guests`] of it, which is the `Filter` that chains call. A guest that breaks the contract is
//! thrown away and costs its own exchange only.
//!
//! In reading order: `load` and `plugin` (from file to filter), `guests` and `guest` (the path of a call), `remembered` (calls that need not be made), `inputs`, `abi`,
//! `direct`, `passing`, `lower`, `lift` and `fields` (across the wall and back), `connection`, `bodies` and `upstreams` (phases beside those of heads), `engine`, `ticker`, `clock` and `state` (limits), `offer`, `wasi`, `imports` and `stores` (what a guest can call,
//! and what of it must be granted), `cache`; and `service`, for components that are no plugins but answer requests themselves.

mod abi;
mod advice;
mod bodies;
pub mod bundled;
mod breaker;
mod cache;
mod census;
mod clock;
mod configured;
mod connection;
mod describe;
mod direct;
mod engine;
mod exported;
mod fault;
mod fields;
mod grants;
mod guest;
mod guests;
mod imports;
mod inputs;
mod inspect;
mod lift;
mod lines;
mod load;
mod lower;
mod offer;
mod passing;
mod plan;
mod plugin;
mod recent;
mod remembered;
mod renewal;
mod service;
mod state;
mod stores;
mod ticker;
mod time;
mod trace;
mod types;
mod upstreams;
mod ward;
mod wasi;

#[cfg(test)]
mod tests;

pub use bodies::{BodyHold, BodyPlan};
pub use census::Census;
pub use clock::thread_cpu_time;
pub use configured::{Configured, Counts};
pub use connection::{AcceptInterest, CloseInterest, ConnectionPlan, HelloInterest};
pub use describe::Description;
pub use exported::phases as exported_phases;
pub use grants::{Import, Refusal, Standing};
pub use guest::Guest;
pub use guests::{Guests, Held};
pub use imports::{Answering, Capability, Errand, ErrandError, Errands, Rights};
pub use inspect::{Inspected, Inspection, Producer};
pub use lift::{BadOutput, Phase, decision as lift_decision};
pub use load::{LoadError, Population, Sandbox, SandboxError, SandboxOptions, digest, read_component};
pub use plan::{Interest, Plan, Plans, RequestInterest, ResponseInterest};
pub use plugin::{ConfigureError, Grant, Plugin, Problem, Remember};
pub use remembered::{Forgets, GuestStretch};
pub use service::{Answer, AnswerError, Service, ServiceGrant};
pub use stores::Store;
pub use time::{HeldTime, Time};
pub use upstreams::{AttemptInterest, BalanceInterest, DoneInterest, ServerInterest, UpstreamPhases, UpstreamPlan};
