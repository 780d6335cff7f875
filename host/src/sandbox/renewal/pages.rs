//! Which pages of a guest's memory may have been written to since its slot was mapped.
//!
//! A guest's memory is mapped privately over the module's data, or over zeros: the first write to a page faults, and makes it the process's
//! own. So what was never written to is not our own, which `/proc/self/pagemap` tells (Linux: Documentation/admin-guide/mm/pagemap.rst). Reading
//! that for each exchange would cost what it is to spare; but a page becomes our own by a fault of the thread that writes, and the kernel
//! counts those. Where a thread has had none since a guest's pages were looked at, they are the same as then. Huge pages, which become our own
//! without a fault of each, are switched off for memory that is treated so.

#![allow(unsafe_code, reason = "mmap, madvise and getrusage have no safe wrappers among our dependencies")]

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Bytes. Where the kernel's are others, nothing is set back.
pub(super) const PAGE: usize = 4096;

/// Of an entry: the page is in memory; it is swapped out; it is a file's, not ours.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const SHARED: u64 = 1 << 61;

thread_local! {
    /// The faults that were counted since a guest last ran on this thread.
    static COUNTED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A guest runs.
#[inline]
pub(in crate::sandbox) fn runs() {
    COUNTED.set(None);
}

/// Whether the kernel tells. Asked of it by a write: some that look like Linux count no faults.
pub(super) fn known() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| rustix::param::page_size() == PAGE && told_of_a_write().unwrap_or(false))
}

fn told_of_a_write() -> Option<bool> {
    // SAFETY: a new mapping at a place of the kernel's choice.
    let at = unsafe { mmap_anonymous(std::ptr::null_mut(), 2 * PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: it was mapped just now, holds zeros, and nobody else knows of it.
    let memory: &mut [[u8; PAGE]; 2] = unsafe { &mut *at.cast() };
    let mut seen = || {
        let before = faults()?;
        std::hint::black_box(&mut memory[1])[0] = 1;
        let mut written = Vec::new();
        let counted = faults()? > before;
        look(memory, ours, |index| written.push(index))?;
        Some(counted && written == [1])
    };
    let told = seen();
    // SAFETY: the mapping from above, to which no reference is left.
    let _ = unsafe { munmap(at, 2 * PAGE) };
    told
}

/// Zeros that were only read count as written: they cannot be told from it.
const fn ours(entry: u64) -> bool {
    entry & (PRESENT | SWAPPED) != 0 && entry & SHARED == 0
}

fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    PAGEMAP.get_or_init(|| File::open("/proc/self/pagemap").ok()).as_ref()
}

/// Of one guest: the pages that it may have written to.
#[derive(Default)]
pub(super) struct Written {
    pages: Vec<u32>,
    /// The thread's faults before they were looked at; `None`: never.
    faults: Option<u64>,
}

impl Written {
    /// In ascending order; `None`: it cannot be told.
    pub(super) fn look(&mut self, memory: &mut [[u8; PAGE]]) -> Option<&[u32]> {
        // Those of a chain are done together: one count does for all of them.
        let faults = COUNTED.get().or_else(faults)?;
        COUNTED.set(Some(faults));
        if self.faults != Some(faults) {
            if self.faults.is_none() {
                small_pages(memory);
            }
            self.pages.clear();
            look(memory, ours, |index| self.pages.push(index))?;
            self.faults = Some(faults);
        }
        Some(&self.pages)
    }
}

/// Reads memory, and leaves no page of it there that was not there before.
pub(super) fn without_trace<T>(memory: &mut [[u8; PAGE]], read: impl FnOnce(&[[u8; PAGE]]) -> T) -> Option<T> {
    let mut absent = Vec::new();
    look(memory, |entry| entry & (PRESENT | SWAPPED) == 0, |index| absent.push(index as usize))?;
    let done = read(memory);
    for run in absent.chunk_by(|one, next| one + 1 == *next) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let pages = memory.get_mut(*first..=*last)?;
        // SAFETY: the range is that of a slice, and nobody has written there since there was nothing: what the pages hold, they hold again when
        // they are next asked for.
        let _ = unsafe { madvise(pages.as_mut_ptr().cast(), size_of_val(pages), Advice::LinuxDontNeed) };
    }
    Some(done)
}

/// Says which pages of this kind there are, in ascending order; `None`: it cannot be told.
fn look(memory: &[[u8; PAGE]], kind: impl Fn(u64) -> bool, mut found: impl FnMut(u32)) -> Option<()> {
    const AT_ONCE: usize = 64;
    let first = (memory.as_ptr().addr() / PAGE) as u64;
    let mut entries = [0; AT_ONCE * 8];
    for (run, begin) in memory.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
        let entries = entries.get_mut(..run.len() * 8)?;
        pagemap()?.read_exact_at(entries, (first + u64::from(begin)) * 8).ok()?;
        let (entries, _) = entries.as_chunks::<8>();
        entries.iter().zip(begin..).filter(|(entry, _)| kind(u64::from_le_bytes(**entry))).for_each(|(_, index)| found(index));
    }
    Some(())
}

/// Page faults of this thread so far.
fn faults() -> Option<u64> {
    // SAFETY: a struct of integers, for which all zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid and writable for the length of the call.
    let done = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (done == 0).then(|| (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64))
}

/// Fails where there are no huge pages, and then nothing is to be done.
fn small_pages(memory: &mut [[u8; PAGE]]) {
    // SAFETY: the advice changes how memory is backed, not what is in it; the range is that of a slice.
    let _ = unsafe { madvise(memory.as_mut_ptr().cast(), size_of_val(memory), Advice::LinuxNoHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_tells() {
        assert!(known(), "where it does not, guests are made anew, and tests of setting them back show nothing");
    }
}
