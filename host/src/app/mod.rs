//! Wiring: the only room that sees all others. From a configuration file to a process that serves, or to what there is to say about it.
//!
//! In reading order: `state` (the directory), `filters` (links → configured plugins), `prepare` (everything that can still be wrong with a
//! checked text), `listeners`, `corridors` (where they lead), `door` (what they ask links), `worker` (one core), `run`; then the answers to questions: `check`, `explain`, `inspect`.

mod check;
mod corridors;
mod door;
mod explain;
mod explain_tcp;
mod filters;
mod inspect;
mod listeners;
mod online;
mod prepare;
mod run;
mod state;
mod worker;

pub use check::{Checked, check};
pub use explain::{Explained, Question, explain};
pub use explain_tcp::{TcpExplained, TcpQuestion, explain_tcp};
pub use inspect::{Inspected, inspect};
pub use run::{StartError, run};
