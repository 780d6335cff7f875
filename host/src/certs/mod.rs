//! Certificates: read from files or made by the local CA, checked against the names they are for, and chosen by SNI.
//!
//! In reading order: `problem` (what can be wrong with a certificate), `coverage` (which names one is good for), `files` (PEM →
//! certificate and key), `ocsp` (what a stapled response says), `owner_only` (files that hold keys), `local_ca` (a CA of our own),
//! `by_hand` (what it makes for people), `acme` (certificates that are ordered), `store` (which certificate for which name), `watch` (files
//! that change while they are in use), `revocation` (lists of what CAs have taken back),
//! `clients` (which client certificates a site takes), `tickets` (the keys of sessions), `key_log`,
//! `server`, `outbound` and `server_check` (rustls settings for clients and for servers). Knows no socket but those to ACME directories.

mod acme;
mod by_hand;
mod clients;
mod coverage;
mod files;
mod key_log;
mod local_ca;
mod ocsp;
mod outbound;
mod owner_only;
mod presented;
mod problem;
mod revocation;
mod server;
mod server_check;
mod store;
mod tickets;
mod watch;

pub use acme::{Acme, Challenges};
pub use by_hand::IssuedFor;
pub use clients::check_clients;
pub use files::check_files;
pub use key_log::KeyLogFile;
pub use local_ca::{LocalCa, LocalCaError};
pub use outbound::{Offer, Outbound, ServerTls};
pub use owner_only::{DiskError, publish, publish_new};
pub use presented::Presented;
pub use problem::{CertProblem, Severity};
pub use server::{Chosen, TlsSettings, Unanswered};
pub use store::{Listed, Store, check_acme};
pub use tickets::{TicketKeyError, TicketKeys, check_ticket_keys};
pub use watch::Watch;
