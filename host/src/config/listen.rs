//! `[listen]`: which addresses are bound.

use super::{LinkSpec, Location};
use std::net::SocketAddr;

/// Addresses as meant: the defaults (`0.0.0.0` and `[::]`, ports 80 and 443) are already filled in where nothing was written,
/// and only where a site needs them.
#[derive(Debug, Clone, Default)]
pub struct ListenSpec {
    /// TLS listeners; serve the sites whose `tls` is not `"off"`.
    pub https: Vec<(SocketAddr, Option<Location>)>,
    /// Plain listeners; serve the sites with `tls = "off"` and redirect the others to https.
    pub http: Vec<(SocketAddr, Option<Location>)>,
    /// Links that decide about the connections of all of them.
    pub chain: Vec<LinkSpec>,
}
