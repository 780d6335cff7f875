//! Tools for authors: a plugin on a desk, in the real sandbox, without a proxy around it. Opens no socket and keeps no state.
//!
//! In reading order: `subject` (the file), `outside` (what it is granted, and what stands for it), `watch` (a filter that is looked at while
//! it decides), `made` and `body` (exchanges that never were), `going_out` (their ways to upstreams), `knock` (connections), `shown` (decisions in words); then one file per command: `check`, `cases` (`plugin test`),
//! `bench`, `rehearse` (`plugin explain`), `new`.

mod bench;
mod body;
mod cases;
mod check;
mod going_out;
mod knock;
mod log;
mod made;
mod new;
mod outside;
mod rehearse;
mod shown;
mod subject;
mod watch;

pub use bench::{Bench, Benched, bench};
pub use cases::{Tested, test};
pub use check::{Reviewed, check};
pub use new::{Made, New, NewError, new};
pub use rehearse::{RehearseError, Rehearsed, rehearse};
pub use subject::{AllowArgument, DeskError};

/// Runs what may wait on this thread, as a worker does.
fn on_a_worker<T>(run: impl Future<Output = T>) -> Result<T, DeskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(DeskError::System)?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, run))
}
