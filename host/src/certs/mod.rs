//! Certificates: read from files or made by the local CA, checked against the names they are for, and chosen by SNI.
//!
//! In reading order: `problem` (what can be wrong with a certificate), `coverage` (which names one is good for), `files` (PEM →
//! certificate and key), `local_ca` (a CA of our own), `store` (which certificate for which name), `server` (rustls settings for clients), `outbound` (and
//! for connections to servers).
//! Knows no socket; ACME and reload are a later version's.

mod coverage;
mod files;
mod local_ca;
mod outbound;
mod presented;
mod problem;
mod server;
mod store;

pub use files::check_files;
pub use local_ca::LocalCa;
pub use outbound::{Outbound, ServerTls};
pub use presented::Presented;
pub use problem::{CertProblem, Severity};
pub use server::{TlsSettings, server_config};
pub use store::Store;
