//! What plugins may lean on: a use of a store in memory, the memory of an exchange that waits for an upstream on a guest's behalf, the loading
//! of a plugin that is compiled already. The goals are 300 ns, 60 KiB and 1 ms (for 200 KB).
//!
//! `cargo bench -p portcullis --bench platform`; one part: `-- kv`, `-- waiting`, `-- loading`.

mod bare;

use bare::{at_once, built, exchange, quiet};
use portcullis::chain::{Bodiless, Chain, Walk};
use portcullis::config::{GuestLimits, LinkOrigin, PluginName, PluginRef};
use portcullis::message::{RequestHead, Scheme};
use portcullis::sandbox::{Capability, Errands, Grant, Guests, Plugin, Rights, Sandbox, SandboxOptions, Store, bundled};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, part) in [("kv", kv as fn()), ("waiting", waiting), ("loading", loading)] {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            part();
        }
    }
}

/// ns of CPU for one use from a guest that is kept: what a call with a hundred and one costs more than a call with one.
fn kv() {
    let sandbox = Sandbox::new(&SandboxOptions::default()).expect("a sandbox");
    let plugin = sandbox.load_file(&built("keep", "xtask/bench/guests"), None).expect("a plugin");
    let rights = Arc::new(Rights {
        granted: [Capability::Kv, Capability::HttpClient].into(),
        stores: [("bench".to_owned(), Arc::new(Store::local()))].into(),
        ..Rights::default()
    });
    for what in ["set", "get", "add"] {
        let [one, many] = [1, 101].map(|times| {
            let filters = [filter(&plugin, (what, times), Arc::clone(&rights), None)];
            let (chain, mut exchange, mut head) = (chain(), exchange(), request());
            quiet(|| {
                let mut walk = Walk::new(&chain, &filters);
                at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, |_, fault| panic!("{fault:?}")));
            })
        });
        println!("kv.{what:<6} {:>8.0} ns", (many - one) / 100.0);
    }
}

/// What each of many exchanges holds while its guest waits for an upstream that does not answer.
fn waiting() {
    const EXCHANGES: usize = 10_000;
    let options = SandboxOptions { guests: EXCHANGES as u32 + 100, ..SandboxOptions::default() };
    let sandbox = Sandbox::new(&options).expect("a sandbox");
    let plugin = sandbox.load_file(&built("keep", "xtask/bench/guests"), None).expect("a plugin");
    let rights = Rights { granted: [Capability::Kv, Capability::HttpClient].into(), http: ["slow".to_owned()].into(), ..Rights::default() };
    // Where errands arrive and are left.
    let (errands, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let filters: Rc<[Rc<Guests>]> = [filter(&plugin, ("send", 1), Arc::new(rights), Some(errands))].into();
    let chain: Rc<Chain> = chain().into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut walks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let begin = |walks: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>, count: usize| {
        for _ in 0..count {
            let (chain, filters) = (Rc::clone(&chain), Rc::clone(&filters));
            walks.push(Box::pin(async move {
                let (mut exchange, mut head) = (exchange(), request());
                let mut walk = Walk::new(&chain, &filters);
                walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, |_, fault| panic!("{fault:?}")).await;
            }));
        }
        runtime.block_on(poll_fn(|cx| {
            walks.iter_mut().for_each(|walk| assert!(walk.as_mut().poll(cx).is_pending(), "nobody answered"));
            Poll::Ready(())
        }));
    };
    // What is needed once.
    begin(&mut walks, 100);
    let before = resident();
    begin(&mut walks, EXCHANGES - 100);
    let each = (resident() - before) as f64 / (EXCHANGES - 100) as f64 / 1024.0;
    let mut held = 0;
    while arrived.try_recv().is_ok() {
        held += 1;
    }
    assert_eq!(held, EXCHANGES, "each has sent its request");
    println!("waiting    {each:>8.1} KiB for each of {EXCHANGES}");
}

/// ms to load each bundled plugin from the cache, and to let go of it: the fastest of twenty times in sandboxes that were just made, and of two hundred
/// in one.
fn loading() {
    let cache = tempfile::tempdir().expect("a folder");
    let options = SandboxOptions { cache: Some(cache.path().to_owned()), ..SandboxOptions::default() };
    for name in bundled::names() {
        let bytes = bundled::bundled(name).expect("it was listed");
        let load = || {
            let sandbox = Sandbox::new(&options).expect("a sandbox");
            let begun = Instant::now();
            drop(sandbox.load(bytes, None).expect("a plugin"));
            begun.elapsed()
        };
        let anew = load();
        let best = (0..20).map(|_| load()).min().expect("twenty");
        let sandbox = Sandbox::new(&options).expect("a sandbox");
        let again = || {
            let begun = Instant::now();
            drop(sandbox.load(bytes, None).expect("a plugin"));
            begun.elapsed()
        };
        let running = (0..200).map(|_| again()).min().expect("two hundred");
        let size = bytes.len() / 1000;
        println!(
            "load {name:<18} {size:>5} KB {:>8.2} ms from the cache at a start {:>8.2} ms later {:>8.0} ms anew",
            ms(best),
            ms(running),
            ms(anew)
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Bytes of memory that this process has in use.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
    pages * 4096
}

fn filter(plugin: &Arc<Plugin>, (what, times): (&str, u32), rights: Arc<Rights>, errands: Option<Errands>) -> Rc<Guests> {
    let settings = serde_json::json!({ "what": what, "times": times });
    let limits = GuestLimits { time: Duration::from_secs(600), ..GuestLimits::default() };
    let made = plugin.configure_under(&settings, Grant { limits, rights, ..Grant::default() }, "bench");
    made.unwrap_or_else(|error| panic!("{error:?}")).on_worker(errands).into()
}

fn chain() -> Chain {
    let link = bare::link(0, "keep".into(), PluginRef::Declared(PluginName("keep".into())), LinkOrigin::Route);
    Chain { links: [link].into() }
}

fn request() -> RequestHead {
    RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Https,
        authority: "shop.example.com".into(),
        path: "/api/v1/users/12345/orders".into(),
        query: None,
        headers: http::HeaderMap::new(),
    }
}
