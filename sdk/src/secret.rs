//! Secrets by name. Granted one by one, `secret = ["JWT_KEY"]`; the operator says in `[secret]` where each comes from.

use crate::outside;
use alloc::vec::Vec;

/// The secret's bytes, as they were when the configuration was loaded; `None` if it is not granted to this plugin. Also in `configure`.
#[inline]
pub fn get(name: &str) -> Option<Vec<u8>> {
    outside::secret(name)
}
