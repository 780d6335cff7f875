//! The admin listener: metrics, health and an API for whoever runs the proxy. Reads what others count, and passes on what is asked for; no
//! request of a site ever comes here.
//!
//! A thread of its own, so that a scrape costs no worker anything. In reading order: `board` (what there is to see), `access` (who may), `answer`
//! (who is told what), `api` (as JSON), `dashboard` (for browsers), `server` (the listener).

mod access;
mod answer;
mod api;
mod board;
mod dashboard;
mod server;

pub use access::Access;
pub use board::{Board, Done, Explain, Later, Readiness, Refusal, Topic, Wish};
pub use server::{Admin, Socket, start};

#[cfg(test)]
mod tests;
