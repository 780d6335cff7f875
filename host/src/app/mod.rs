//! Wiring: the only room that sees all others. From a configuration file to a process that serves, or to what there is to say about it.
//!
//! In reading order: `state` (the directory), `origin` (where components come from), `granted` and `filters` (links → configured plugins),
//! `services` (components that are servers), `papers` (certificates), `prepare` (everything
//! that can still be wrong with a checked text), `listeners`, `corridors` (where they lead), `door` (what they ask links), `generation` (all of
//! it), `worker` and `floor` (one core, from generation to generation), `keeper` (certificates that change), `lookout` and `control` (who
//! asks for a reload), `reload`, `inherited` (sockets that were there before) and `handover` (to a new process), `watch` (what can be seen) and `pages` (the same as JSON), `systemd`, `run`; then the answers to questions: `check`, `explain` (with `memory`),
//! `inspect`, `depot` (to and from registries), `why`, `ca`, and `watcher` with `sight` (a running proxy from outside); and `desk`, the tools for who writes plugins.

mod ca;
mod check;
mod checks;
mod control;
mod corridors;
mod depot;
mod desk;
mod door;
mod errands;
mod explain;
mod explain_tcp;
mod filters;
mod floor;
mod generation;
mod granted;
mod handover;
mod inherited;
mod inspect;
mod keeper;
mod listeners;
mod lookout;
mod memory;
mod online;
mod origin;
mod pages;
mod papers;
mod prepare;
mod reload;
mod run;
mod services;
mod sight;
mod state;
mod systemd;
mod ticks;
mod watch;
mod watcher;
mod why;
mod worker;

pub use crate::certs::IssuedFor;
pub use crate::import::{From as ImportFrom, import};
pub use ca::{CaError, CaPlace, issue as ca_issue, root as ca_root, trust as ca_trust};
pub use check::{Checked, check};
pub use control::{AskError, Question as Asking, Said, ask};
pub use depot::{fetch as plugin_fetch, push as plugin_push, signing_key};
pub use desk::{AllowArgument, Bench, Benched, DeskError, Made, New, NewError, RehearseError, Rehearsed, Reviewed, Tested};
pub use desk::{bench as plugin_bench, check as plugin_check, new as plugin_new, rehearse as plugin_explain, test as plugin_test};
pub use explain::{Explained, Question, explain};
pub use explain_tcp::{Reached, TcpExplained, TcpQuestion, explain_tcp};
pub use inspect::{Inspected, inspect};
pub use run::{StartError, run};
pub use sight::{PluginRow, RouteRow, Sight, UpstreamRow};
pub use watcher::{Look, Watcher, WatcherError};
pub use why::{Meaning, likely, meanings, text as meanings_text, why};
