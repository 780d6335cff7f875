//! What links cost without a proxy around them: a link, an exchange, a guest, and a clock for it.
#![allow(dead_code, reason = "each benchmark needs a part of it")]

use portcullis::chain::Link;
use portcullis::config::{LinkOrigin, LinkSpec, Location, PluginRef};
use portcullis::message::{Connection, Exchange, ExchangeId};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
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

pub fn exchange() -> Exchange {
    let connection = Connection::new(([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 443).into());
    Exchange {
        id: ExchangeId(1),
        connection: Rc::new(connection),
        client: [192, 0, 2, 17].into(),
        client_port: 4000,
        version: http::Version::HTTP_11,
        site: "shop.example.com".into(),
        route: "/*".into(),
        upstream: None,
        attributes: Default::default(),
        trace: None,
    }
}

/// What a walk decides that has nothing to wait for.
pub fn at_once<T>(walk: impl Future<Output = T>) -> T {
    match pin!(walk).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decided) => decided,
        Poll::Pending => panic!("a guest that may not wait does"),
    }
}

/// A guest, built when it is not fresh; with `GUESTS=FOLDER` the one there, as it is.
pub fn built(name: &str, folder: &str) -> PathBuf {
    if let Some(guests) = std::env::var_os("GUESTS") {
        return Path::new(&guests).join(format!("{name}.wasm"));
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Those of the benchmark stand where `cargo xtask bench` builds them.
    let (target, file) = match folder {
        "tests/guests" => (repository.join("target/guests"), format!("guest_{name}.wasm")),
        _ => (repository.join("target/bench/guests/target"), format!("{name}.wasm")),
    };
    let done = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir"])
        .arg(&target)
        .current_dir(repository.join(folder))
        .status()
        .expect("cargo runs");
    assert!(done.success(), "{folder} did not build");
    target.join("wasm32-wasip2/release").join(file)
}
