//! The HTTP corridor: from a received request to its answer.

mod explain;
mod paths;
mod router;

pub use explain::{Explanation, Finding, explain};
pub use router::{Found, Missed, Router};
