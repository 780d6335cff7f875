//! Certificates: read from files or made by the local CA, checked against the names they are for, and chosen by SNI.
//!
//! In reading order: `problem` (what can be wrong with a certificate), `coverage` (which names one is good for), `files` (PEM →
//! certificate and key), `owner_only` (files that hold keys), `local_ca` (a CA of our own), `by_hand` (what it makes
//! for people), `acme` (certificates that are ordered), `store`
//! (which certificate for which name), `watch` (files that change while they are in use), `server` (rustls settings). Knows no socket but
//! those to ACME directories.

mod acme;
mod by_hand;
mod coverage;
mod files;
mod local_ca;
mod owner_only;
mod problem;
mod server;
mod store;
mod watch;

pub use acme::{Acme, Challenges};
pub use by_hand::IssuedFor;
pub use files::check_files;
pub use local_ca::{LocalCa, LocalCaError};
pub use owner_only::{DiskError, publish};
pub use problem::{CertProblem, Severity};
pub use server::{TlsSettings, Unanswered, server_config};
pub use store::{Store, check_acme};
pub use watch::Watch;
