//! What a link that looks at a body costs: CPU time for 1 MiB through a chain of them, above what the same body costs without. The first column of
//! figures is the link's own share in µs, the second what that makes in GB/s.
//!
//! `cargo bench -p portcullis --bench bodies`

mod bare;

use bare::{at_once, built, exchange, quiet};
use bytes::Bytes;
use portcullis::chain::{Bodiless, Carry, Chain, Course, Facts, Flow, Replace, Report, Room, Walk, entire};
use portcullis::config::{FailurePolicy, GuestLimits, Isolation, LinkOrigin, PluginName, PluginRef};
use portcullis::message::{RequestHead, ResponseHead, Scheme};
use portcullis::sandbox::{Guests, Plugin, Sandbox, SandboxOptions};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const MIB: usize = 1 << 20;

fn main() {
    let sandbox = Sandbox::new(&SandboxOptions::default()).expect("a sandbox");
    let pieces = sandbox.load_file(&built("pieces", "xtask/bench/guests"), None).expect("a plugin");
    println!("{:<14} {:<8} {:>6} {:>10} {:>8}", "filter", "isolate", "piece", "us per MiB", "GB/s");
    for piece in [4 << 10, 16 << 10, 32 << 10] {
        let bare = measure(&[], piece);
        println!("{:<14} {:<8} {:>6} {bare:>10.1}", "none", "", piece >> 10);
        for how in ["watch", "keep", "give"] {
            for (isolation, name) in [(Isolation::Worker, "worker"), (Isolation::Request, "request")] {
                let settings = serde_json::json!({ "how": how });
                let own = measure(&[filter(&pieces, &settings, isolation)], piece) - bare;
                println!("{how:<14} {name:<8} {:>6} {own:>10.1} {:>8.2}", piece >> 10, MIB as f64 / own / 1000.0);
            }
        }
    }
    for (name, settings) in [
        ("body-rewrite", serde_json::json!({ "replace": { "text": "</body>", "with": "x" } })),
        ("compress", serde_json::json!({ "codings": ["gzip"] })),
        ("compress", serde_json::json!({ "codings": ["br"] })),
        ("compress", serde_json::json!({ "codings": ["zstd"] })),
    ] {
        let Some(bytes) = portcullis::sandbox::bundled::bundled(name) else { continue };
        let plugin = sandbox.load(bytes, None).expect("a plugin");
        let own = measure(&[filter(&plugin, &settings, Isolation::Request)], 16 << 10) - measure(&[], 16 << 10);
        println!("{name:<14} {:<8} {:>6} {own:>10.1} {:>8.3}  {settings}", "request", 16, MIB as f64 / own / 1000.0);
    }
}

fn filter(plugin: &Arc<Plugin>, settings: &serde_json::Value, isolation: Isolation) -> Rc<Guests> {
    let limits = GuestLimits { cpu: std::time::Duration::from_millis(100), ..GuestLimits::default() };
    let made = plugin.configure(settings, limits, isolation, FailurePolicy::default(), "bench");
    made.unwrap_or_else(|error| panic!("{error:?}")).for_worker().into()
}

/// CPU µs for 1 MiB in pieces of this size through these, the walk included.
fn measure(filters: &[Rc<Guests>], piece: usize) -> f64 {
    let link = |filter| bare::link(filter, "pieces".into(), PluginRef::Declared(PluginName("pieces".into())), LinkOrigin::Route);
    let chain = Chain { links: (0..filters.len()).map(link).collect() };
    let text: Vec<u8> =
        (0..).flat_map(|n: u32| format!("<p class=\"line\">line {} of many</p>\n", n % 977).into_bytes()).take(piece).collect();
    let text = Bytes::from(text);
    let cpu = quiet(|| {
        let (mut exchange, mut head, mut answer) = (exchange(), request(), response());
        let mut walk = Walk::new(&chain, filters);
        let none = |_: &portcullis::chain::Link, fault: &portcullis::chain::Fault| panic!("{fault:?}");
        let course = at_once(walk.on_request(&mut exchange, &mut head, &mut Bodiless, |_| true, none));
        assert!(matches!(course, Course::Onward));
        let mut body = Carried(Box::pin(Pieces { piece: text.clone(), left: MIB }));
        let walked = at_once(walk.on_response(&mut exchange, &head, &mut answer, &mut body, none, |_| unreachable!()));
        assert!(walked.is_ok());
        let mut flow = body.take();
        while let Poll::Ready(frame) = flow.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            let Some(frame) = frame else { break };
            std::hint::black_box(frame.expect("a piece").data_ref().map(Bytes::len));
        }
    });
    cpu / 1000.0
}

/// A body that is there, in pieces.
struct Pieces {
    piece: Bytes,
    left: usize,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = portcullis::message::BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, portcullis::message::BodyError>>> {
        let Some(left) = self.left.checked_sub(self.piece.len()) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(http_body::Frame::data(self.piece.clone()))))
    }
}

struct Carried(Flow);

impl Carry for Carried {
    fn facts(&self) -> Option<Facts> {
        Some(Facts { length: Some(MIB as u64), described: false })
    }

    fn take(&mut self) -> Flow {
        std::mem::replace(&mut self.0, entire(Bytes::new(), http::HeaderMap::new()))
    }

    fn put(&mut self, flow: Flow) {
        self.0 = flow;
    }

    fn undescribe(&mut self) {}

    fn report(&self) -> Report {
        Rc::new(|_, fault| panic!("{fault:?}"))
    }

    fn room(&self) -> Room {
        Room { each: MIB, all: MIB }
    }
}

impl Replace for Carried {
    fn replace(&mut self, _: Bytes) {
        unreachable!("nobody replies");
    }
}

fn request() -> RequestHead {
    let mut headers = http::HeaderMap::new();
    headers.insert("accept-encoding", http::HeaderValue::from_static("gzip, br, zstd"));
    RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Https,
        authority: "shop.example.com".into(),
        path: "/".into(),
        query: None,
        headers,
    }
}

fn response() -> ResponseHead {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("text/html"));
    ResponseHead { status: http::StatusCode::OK, headers }
}
