//! How many handles a guest holds: each is an entry in a table of the host's, so a guest that only ever asked for more could eat our
//! memory without touching its own.

use crate::sandbox::fault::Stop;
use wasmtime::component::Resource;

/// Streams and pollables at once. An ordinary guest holds three.
const MOST: u32 = 1024;

/// Of one guest.
#[derive(Default)]
pub(in crate::sandbox) struct Handles(u32);

impl Handles {
    pub(super) fn give<T>(&mut self, rep: u32) -> wasmtime::Result<Resource<T>> {
        if self.0 >= MOST {
            return Err(Stop::TooMany("handles").into());
        }
        self.0 += 1;
        Ok(Resource::new_own(rep))
    }

    pub(super) const fn take_back(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}
