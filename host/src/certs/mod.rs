//! Certificates: read from files or made by the local CA, checked against the names they are for, and chosen by SNI.
//!
//! In reading order: `problem` (what can be wrong with a certificate), `coverage` (which names one is good for), `files` (PEM →
//! certificate and key), `ocsp`, `local_ca` (a CA of our own), `store` (which certificate for which name), `clients` (which clients' certificates a site takes), `tickets` (their keys), `key_log`,
//! `server` (rustls settings).
//! Knows no socket; ACME and reload are a later version's.

mod clients;
mod coverage;
mod files;
mod key_log;
mod local_ca;
mod ocsp;
mod problem;
mod server;
mod store;
mod tickets;

pub use clients::check_clients;
pub use files::check_files;
pub use key_log::KeyLogFile;
pub use local_ca::LocalCa;
pub use problem::{CertProblem, Severity};
pub use server::{Chosen, TlsSettings};
pub use store::Store;
pub use tickets::{TicketKeyError, TicketKeys, check_ticket_keys};
