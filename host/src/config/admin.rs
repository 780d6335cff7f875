//! `[admin]`: where the proxy is looked at from outside.

use super::{ListenAddress, Location, Secret};

/// `[admin]` as meant. Wherever others than this machine can come, there is a token.
#[derive(Debug, Clone)]
pub struct AdminSpec {
    pub listen: Vec<(ListenAddress, Location)>,
    /// What whoever asks must show; `None`: nothing.
    pub token: Option<Secret>,
}
