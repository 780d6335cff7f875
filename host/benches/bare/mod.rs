//! What links cost without a proxy around them: a link, and a clock for it.

use portcullis::chain::Link;
use portcullis::config::{LinkOrigin, LinkSpec, Location, PluginRef};
use std::sync::Arc;
use std::time::Duration;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The link at a place of a chain, without settings of its own.
pub fn link(filter: usize, name: String, plugin: PluginRef, origin: LinkOrigin) -> Link {
    let spec = LinkSpec {
        name,
        plugin,
        settings: serde_json::json!({}),
        settings_at: Default::default(),
        when: None,
        origin,
        at: Location { file: "bench".into(), line: 1, column: 1 },
    };
    Link { filter, when: None, spec: Arc::new(spec) }
}

/// CPU ns per operation, by the thread's own clock: the tenth fastest of a hundred batches. On a machine with neighbours the median
/// says how busy they were; what the code costs shows in the undisturbed batches.
pub fn quiet(mut operation: impl FnMut()) -> f64 {
    let warm = cpu_time();
    let mut count = 0u32;
    while cpu_time() - warm < Duration::from_millis(40) {
        operation();
        count += 1;
    }
    // About 2 ms each.
    let batch = (count / 20).max(1);
    let mut batches: Vec<f64> = (0..100)
        .map(|_| {
            let begun = cpu_time();
            for _ in 0..batch {
                operation();
            }
            (cpu_time() - begun).as_nanos() as f64 / f64::from(batch)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 10]
}

#[allow(unsafe_code, reason = "clock_gettime has no safe wrapper among our dependencies; it fills the struct it is given")]
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec for the length of the call.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
