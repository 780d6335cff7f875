//! What the connection phase adds to an accept: `cargo bench -p portcullis --bench accept`. Prints ns per connection, walk included; the goal
//! is 2,000 ns for `ip-filter`.

mod bare;

use bare::quiet;
use portcullis::chain::{Around, Chain, ConnectionWalk, Reach};
use portcullis::config::{FailurePolicy, GuestLimits, Isolation, LinkOrigin, PluginRef};
use portcullis::message::{Admission, Arrival, ConnectionId, EndReason, Ending, ListenerKind};
use portcullis::sandbox::{Guests, Sandbox, SandboxOptions, bundled};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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
    let filters: Rc<[Rc<Guests>]> = [Rc::new(made.unwrap_or_else(|error| panic!("{error:?}")).for_worker())].into();
    let link = bare::link(0, name.into(), PluginRef::Bundled(name), LinkOrigin::Listener);
    let chain = Arc::new(Chain { links: [link].into() });
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
