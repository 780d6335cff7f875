//! How a plugin lets itself be passed arguments: one allocation for each, all in one block, or in one that always lies at the same place.
//!
//! By the canonical ABI each string and list is an allocation of the guest's own, made by a call of its `realloc`. The SDK's plugins say with a
//! custom section that they need none of that, which spares a light filter most of its calls. What a plugin says there is
//! a promise about itself: whoever breaks it finds its own arguments overwritten. Bounds are checked at each write as ever (`lower`).

use std::sync::atomic::{AtomicU32, Ordering};
use wasmtime::component::__internal::wasmtime_environ::wasmparser;

/// The section's name. What is in it: see [`Passing::of`].
const SECTION: &str = "portcullis:one-block";

/// A block that is larger is asked for each time.
const LARGEST_PLACE: usize = 64 << 10;

/// Of one component, for all its guests.
#[derive(Debug, Default)]
pub(super) struct Passing {
    one_block: bool,
    /// Blocks of up to this many bytes lie at `place`.
    room: usize,
    /// Where `realloc` said so first. 0: not asked yet (no allocator gives out the null pointer).
    place: AtomicU32,
}

impl Passing {
    /// Of the component in `bytes`.
    ///
    /// The section's data is a decimal number: all arguments of a call may lie in one block, since nothing of what `realloc` gives out for them is freed
    /// alone; and blocks of up to as many bytes always lie where the first did, in all guests, and are free between calls, so that `realloc` need not be
    /// asked. It counts only in the module that has the memory: around a plugin that was composed with others, somebody else's
    /// allocator may stand.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (mut memories, mut ours, mut said, mut found) = (0, false, None, None);
        for payload in wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                // One module or component within another begins or ends.
                wasmparser::Payload::Version { .. } | wasmparser::Payload::End(_) => (ours, said) = (false, None),
                wasmparser::Payload::MemorySection(_) => {
                    memories += 1;
                    ours = true;
                }
                wasmparser::Payload::CustomSection(section) if section.name() == SECTION => said = Some(number(section.data())),
                _ => {}
            }
            found = found.or(said.filter(|_| ours));
        }
        let room = found.filter(|_| memories == 1);
        Self { one_block: room.is_some(), room: room.unwrap_or_default().min(LARGEST_PLACE), place: AtomicU32::new(0) }
    }

    #[inline(always)]
    pub(super) const fn one_block(&self) -> bool {
        self.one_block
    }

    /// Where a block of `size` bytes lies, if that is known.
    #[inline(always)]
    pub(super) fn place(&self, size: usize) -> Option<usize> {
        let place = self.place.load(Ordering::Relaxed);
        (size <= self.room && place != 0).then_some(place as usize)
    }

    /// `realloc` has put a block of `size` bytes here.
    #[cold]
    pub(super) fn learn(&self, size: usize, at: usize) {
        if size <= self.room
            && let Ok(at) = u32::try_from(at)
        {
            self.place.store(at, Ordering::Relaxed);
        }
    }
}

/// Anything else is as good as nothing.
fn number(text: &[u8]) -> usize {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
