//! The admin listener: metrics and health for whoever watches the proxy. Reads what others count and changes nothing; no request of a site
//! ever comes here.
//!
//! A thread of its own, so that a scrape costs no worker anything. In reading order: `board` (what there is to see), `answer` (who may see
//! what of it), `server` (the listener).

mod answer;
mod board;
mod server;

pub use answer::Access;
pub use board::{Board, Readiness};
pub use server::{Admin, Socket, start};
