//! Which pages of a guest's memory may have been written to since its slot was mapped.
//!
//! A guest's memory is mapped privately over the module's data, or over zeros: the first write to a page faults, and makes it the process's
//! own. So what was never written to is not our own, which `/proc/self/pagemap` tells (Linux: Documentation/admin-guide/mm/pagemap.rst). Reading
//! that for each exchange would cost what it is to spare; but a page becomes our own by a fault of the thread that writes, and the kernel
//! counts those. Where a thread has had none since a guest's pages were looked at, they are the same as then. Huge pages, which become our own
//! without a fault of each, are switched off for memory that is treated so.

#![allow(unsafe_code, reason = "getrusage and madvise have no safe wrappers among our dependencies")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Bytes. Where the kernel's are others, nothing is set back.
pub(super) const PAGE: usize = 4096;

/// Of an entry: the page is in memory; it is swapped out; it is a file's, not ours.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const SHARED: u64 = 1 << 61;

/// Whether the kernel tells.
pub(super) fn known() -> bool {
    rustix::param::page_size() == PAGE && pagemap().is_some() && faults().is_some()
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
        let faults = faults()?;
        if self.faults != Some(faults) {
            if self.faults.is_none() {
                small_pages(memory);
            }
            read(pagemap()?, memory, &mut self.pages)?;
            self.faults = Some(faults);
        }
        Some(&self.pages)
    }
}

/// Zeros that were only read count as written: they cannot be told from it.
fn read(pagemap: &File, memory: &[[u8; PAGE]], pages: &mut Vec<u32>) -> Option<()> {
    const AT_ONCE: usize = 64;
    pages.clear();
    let first = (memory.as_ptr().addr() / PAGE) as u64;
    let mut entries = [0; AT_ONCE * 8];
    for (run, begin) in memory.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
        let entries = entries.get_mut(..run.len() * 8)?;
        pagemap.read_exact_at(entries, (first + u64::from(begin)) * 8).ok()?;
        let (entries, _) = entries.as_chunks::<8>();
        let ours = |entry: &[u8; 8]| {
            let entry = u64::from_le_bytes(*entry);
            entry & (PRESENT | SWAPPED) != 0 && entry & SHARED == 0
        };
        pages.extend(entries.iter().zip(begin..).filter(|(entry, _)| ours(entry)).map(|(_, index)| index));
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
    let _ = unsafe { rustix::mm::madvise(memory.as_mut_ptr().cast(), size_of_val(memory), rustix::mm::Advice::LinuxNoHugepage) };
}
