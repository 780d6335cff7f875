//! The sealed room: plugins, their guests, and every limit on them. The only room that names wasmtime.
//!
//! A file becomes a [`Plugin`] (compiled, its imports checked, nothing of it run but `describe`), a plugin with settings becomes a
//! [`Configured`], and each worker gets [`Guests`] of it, which is the `Filter` that chains call. A guest that breaks the contract is
//! thrown away and costs its own exchange only.
//!
//! In reading order: `load` and `plugin` (from file to filter), `guests` and `guest` (the path of a call), `abi`, `lower`, `lift` and `fields`
//! (across the wall and back), `engine`, `ticker`, `clock` and `state` (limits), `offer`, `wasi`, `imports` and `stores` (what a guest can call,
//! and what of it must be granted), `cache`; and `service`, for components that are no plugins but answer requests themselves.

mod abi;
mod advice;
mod backoff;
pub mod bundled;
mod cache;
mod census;
mod clock;
mod configured;
mod connection;
mod describe;
mod engine;
mod fault;
mod fields;
mod grants;
mod guest;
mod guests;
mod imports;
mod inspect;
mod lift;
mod load;
mod lower;
mod offer;
mod plan;
mod plugin;
mod recent;
mod service;
mod state;
mod stores;
mod ticker;
mod time;
mod types;
mod wasi;

#[cfg(test)]
mod tests;

pub use census::Census;
pub use clock::thread_cpu_time;
pub use configured::{Configured, Counts};
pub use connection::{AcceptInterest, CloseInterest, ConnectionPlan, HelloInterest};
pub use describe::Description;
pub use grants::{Import, Refusal, Standing};
pub use guest::Guest;
pub use guests::Guests;
pub use imports::{Answering, Capability, Errand, ErrandError, Errands, Rights};
pub use inspect::{Inspected, Inspection, Producer};
pub use lift::{BadOutput, Phase, decision as lift_decision};
pub use load::{LoadError, Sandbox, SandboxError, SandboxOptions, digest, read_component};
pub use plan::{Interest, Plan, RequestInterest, ResponseInterest};
pub use plugin::{ConfigureError, Grant, Plugin, Problem};
pub use service::{Answer, AnswerError, Service, ServiceGrant};
pub use stores::Store;
pub use time::{HeldTime, Time};
