//! What there is to see. `app` shows it: it alone knows all rooms.

use crate::observe::Exposition;

/// What the admin listener shows. Asked on its own thread.
pub trait Board: Send + Sync + 'static {
    /// All metrics.
    fn metrics(&self, out: &mut Exposition);

    /// Whether new requests should be sent here.
    fn readiness(&self) -> Readiness;
}

/// Why not, in words for an operator; ready if there is no reason.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub against: Vec<String>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.against.is_empty()
    }
}
