//! What the connection phase adds to an accept: `cargo bench -p portcullis --bench accept`. Prints ns per connection, walk included; the goal
//! is 2,000 ns for `ip-filter`.

use portcullis::chain::{Around, Chain, ConnectionWalk, Link, Reach};
use portcullis::config::{FailurePolicy, GuestLimits, Isolation, LinkOrigin, LinkSpec, Location, PluginRef};
use portcullis::message::{Admission, Arrival, ConnectionId, EndReason, Ending, ListenerKind};
use portcullis::sandbox::{Guests, Sandbox, SandboxOptions, bundled};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let sandbox = Sandbox::new(&SandboxOptions::default()).expect("a sandbox");
    println!("{:<12} {:<20} {:<8} {:>15}", "plugin", "settings", "isolate", "ns per accept");
    for isolation in [Isolation::Worker, Isolation::Request] {
        for networks in [1, 100, 10_000] {
            let settings = serde_json::json!({ "deny": list(networks) });
            measure(&sandbox, "ip-filter", &format!("{networks} networks"), settings, isolation);
        }
        measure(&sandbox, "conn-limit", "most 10", serde_json::json!({ "most": 10 }), isolation);
    }
}

/// Networks that do not hold the client's address.
fn list(count: u32) -> String {
    let networks: Vec<String> = (0..count).map(|n| format!("11.{}.{}.0/24", n / 256 % 256, n % 256)).collect();
    networks.join("\n")
}

fn measure(sandbox: &Sandbox, name: &'static str, about: &str, settings: serde_json::Value, isolation: Isolation) {
    let plugin = sandbox.load(bundled::bundled(name).expect("bundled"), None).expect("a plugin");
    // Reading a long list takes longer than a call may.
    let limits = GuestLimits { cpu: Duration::from_secs(1), ..GuestLimits::default() };
    let made = plugin.configure(&settings, limits, isolation, FailurePolicy::default(), name);
    let filters: Rc<[Guests]> = [made.unwrap_or_else(|error| panic!("{error:?}")).for_worker()].into();
    let chain = Arc::new(Chain { links: [link(name)].into() });
    let ending = Ending { received: 0, sent: 0, duration: Duration::ZERO, why: EndReason::Done };
    let spent = quiet(|| {
        let mut walk = ConnectionWalk::new(Arc::clone(&chain), Rc::clone(&filters), Reach::default(), arrival());
        let admission = walk.on_accept(&mut Around { knows: &|_| true, fault: &mut |_, fault| panic!("{fault:?}") });
        assert_eq!(admission, Admission::Onward);
        walk.on_close(&ending, &mut |_, fault| panic!("{fault:?}"));
    });
    let isolate = if isolation == Isolation::Worker { "worker" } else { "request" };
    println!("{name:<12} {about:<20} {isolate:<8} {spent:>15.0}");
}

fn arrival() -> Arrival {
    Arrival {
        id: ConnectionId(1),
        peer: Some(([192, 0, 2, 17], 4000).into()),
        local: Some(([10, 0, 0, 2], 443).into()),
        listener: "0.0.0.0:443".into(),
        kind: ListenerKind::Https,
        open: Some(1),
        attributes: Default::default(),
    }
}

fn link(name: &'static str) -> Link {
    let spec = LinkSpec {
        name: name.into(),
        plugin: PluginRef::Bundled(name),
        settings: serde_json::json!({}),
        settings_at: Default::default(),
        when: None,
        origin: LinkOrigin::Listener,
        at: Location { file: "bench".into(), line: 1, column: 1 },
    };
    Link { filter: 0, when: None, spec: Arc::new(spec) }
}

/// CPU ns per operation, as in `chain.rs`: the tenth fastest of a hundred batches of about 2 ms.
fn quiet(mut operation: impl FnMut()) -> f64 {
    let warm = cpu_time();
    let mut count = 0u32;
    while cpu_time() - warm < Duration::from_millis(40) {
        operation();
        count += 1;
    }
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
