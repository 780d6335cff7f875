//! The process as the kernel sees it, under the names that Prometheus' own libraries use.

use super::exposition::Exposition;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// What cannot be read is left out.
pub(super) fn write(out: &mut Exposition, started: SystemTime) {
    if let Ok(since) = started.duration_since(SystemTime::UNIX_EPOCH) {
        out.gauge("process_start_time_seconds", "When the process started, seconds since 1970.").float(&[], since.as_secs_f64());
    }
    if let Some(usage) = usage() {
        out.counter("process_cpu_seconds", "CPU time, of the process and of the kernel for it.").float(&[], usage);
    }
    if let Some((virtual_memory, resident)) = memory() {
        out.gauge("process_virtual_memory_bytes", "Address space; guests' pools reserve much that is never touched.")
            .sample(&[], virtual_memory);
        out.gauge("process_resident_memory_bytes", "Memory that is really there.").sample(&[], resident);
    }
    if let Some(open) = open_files() {
        out.gauge("process_open_fds", "Open files, connections included.").sample(&[], open);
    }
    if let Some(most) = most_files() {
        out.gauge("process_max_fds", "How many files may be open.").sample(&[], most);
    }
}

#[allow(unsafe_code, reason = "getrusage(2) has no wrapper in std; it fills the struct it is given")]
fn usage() -> Option<f64> {
    // SAFETY: all zeroes is a valid rusage, and ours is writable for the length of the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)?
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// Address space and what of it is resident, bytes: proc_pid_statm(5).
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').map(|field| field.parse::<u64>().ok());
    let page = page_size()?;
    Some((pages.next()?? * page, pages.next()?? * page))
}

#[allow(unsafe_code, reason = "sysconf(3) has no wrapper in std and touches no memory of ours")]
fn page_size() -> Option<u64> {
    // SAFETY: takes a number, gives a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

fn open_files() -> Option<u64> {
    // Linux says how many there are from 6.2 on; before, they must be counted.
    match fs::metadata("/proc/self/fd").ok()?.size() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        known => Some(known),
    }
}

#[allow(unsafe_code, reason = "getrlimit(2) has no wrapper in std; the struct is ours and valid for the call")]
fn most_files() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable for the length of the call.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (read == 0).then_some(limit.rlim_cur)
}
