//! A plain std guest in the phases of connections that does what its settings say: `{ "do": "…" }`. Most of it is misbehaviour; the rest
//! tells what it was shown, on its standard output and in attributes.

wit_bindgen::generate!({ path: "../../../wit", world: "connection-plugin" });

use exports::portcullis::plugin::{connections, lifecycle, on_accept, on_client_hello, on_close};
use portcullis::plugin::types::*;
use std::cell::RefCell;
use std::hint::black_box;

struct Guest;

thread_local! {
    static DO: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLS: RefCell<u32> = const { RefCell::new(0) };
}

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"knock","version":"1.0.0","settings":{"type":"object","properties":{"do":{"type":"string"}}}}"#.into()
    }

    fn configure(settings: String) -> Result<Plan, Vec<Problem>> {
        DO.set(settings.split('"').nth(3).unwrap_or("next").to_owned());
        Ok(Plan { request: None, response: None, warnings: vec![] })
    }
}

impl connections::Guest for Guest {
    fn plan_connections() -> ConnectionPlan {
        let what = DO.with_borrow(Clone::clone);
        if what == "trap-plan" {
            panic!("secret: hunter2");
        }
        let attributes = || vec!["listener".to_owned(), "listener.kind".to_owned(), "peer.ip".to_owned(), "log.knock".to_owned()];
        let only = |phase: &str| !what.starts_with("only-") || what == phase;
        let nothing = what == "blind";
        let accept = AcceptInterest {
            fields: if nothing { AcceptFields::empty() } else { AcceptFields::all() },
            attributes: if nothing { vec![] } else { attributes() },
        };
        let hello = HelloInterest {
            fields: if nothing { HelloFields::empty() } else { HelloFields::all() },
            attributes: if nothing { vec![] } else { attributes() },
        };
        let close = CloseInterest {
            fields: if nothing { CloseFields::empty() } else { CloseFields::all() },
            attributes: if nothing { vec![] } else { attributes() },
        };
        ConnectionPlan {
            accept: only("only-accept").then_some(accept),
            client_hello: only("only-hello").then_some(hello),
            close: only("only-close").then_some(close),
        }
    }
}

impl on_accept::Guest for Guest {
    fn on_accept(connection: u64, accepted: Accepted) -> AcceptDecision {
        let calls = CALLS.with_borrow_mut(|calls| {
            *calls += 1;
            *calls
        });
        let next = |attributes: Vec<Attribute>| AcceptDecision { verdict: AcceptVerdict::Next, attributes };
        let decide = |verdict| AcceptDecision { verdict, attributes: vec![] };
        match &*DO.with_borrow(Clone::clone) {
            "loop-accept" => spin(),
            "trap-accept" => panic!("secret: hunter2"),
            "reset" => decide(AcceptVerdict::Reset),
            "close" => decide(AcceptVerdict::Close),
            "forward" => decide(AcceptVerdict::Forward("canary".into())),
            "forward-unknown" => decide(AcceptVerdict::Forward("nowhere".into())),
            "long-name" => decide(AcceptVerdict::Forward("x".repeat((64 << 10) + 1))),
            "many-attributes" => next((0..65).map(|n| attribute(&format!("a{n}"), "1")).collect()),
            "big-attributes" => next((0..2).map(|n| attribute(&format!("a{n}"), &"x".repeat(40 << 10))).collect()),
            "reserved" => next(vec![attribute("peer.ip", "::1")]),
            "bad-name" => next(vec![attribute("a b", "1")]),
            "count" => next(vec![attribute("log.calls", &calls.to_string())]),
            "tenant" => next(vec![attribute("tenant", "acme"), attribute("log.tenant", "acme")]),
            "silent" | "blind" => next(vec![]),
            _ => {
                let Accepted { peer, local, attributes } = accepted;
                let text = format!("{} {} {} {}", connection != 0, socket(peer), socket(local), list(&attributes));
                println!("accepted {text}");
                next(vec![attribute("log.knock", &text)])
            }
        }
    }
}

impl on_client_hello::Guest for Guest {
    fn on_client_hello(connection: u64, hello: ClientHello) -> HelloDecision {
        let decide = |verdict| HelloDecision { verdict, attributes: vec![] };
        match &*DO.with_borrow(Clone::clone) {
            "loop-hello" => spin(),
            "trap-hello" => panic!("secret: hunter2"),
            "alert" => decide(HelloVerdict::Alert(49)),
            "reset-hello" => decide(HelloVerdict::Reset),
            "close-hello" => decide(HelloVerdict::Close),
            "forward-hello" => decide(HelloVerdict::Forward("canary".into())),
            "pass-through" => decide(HelloVerdict::PassThrough("canary".into())),
            "pass-through-unknown" => decide(HelloVerdict::PassThrough("nowhere".into())),
            "silent" | "blind" => decide(HelloVerdict::Next),
            _ => {
                let alpn: Vec<_> = hello.alpn.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                let numbers = |numbers: &[u16]| numbers.iter().map(|number| format!("{number:04x}")).collect::<Vec<_>>().join("-");
                let text = format!(
                    "{} sni={} alpn={} versions={} ciphers={} ja4={} raw={}",
                    connection != 0,
                    hello.sni.as_deref().unwrap_or("-"),
                    alpn.join("-"),
                    numbers(&hello.versions),
                    numbers(&hello.ciphers),
                    hello.ja4,
                    hello.raw.len(),
                );
                println!("hello {text}");
                HelloDecision { verdict: HelloVerdict::Next, attributes: vec![attribute("log.hello", &text)] }
            }
        }
    }
}

impl on_close::Guest for Guest {
    fn on_close(connection: u64, closed: Closed) {
        match &*DO.with_borrow(Clone::clone) {
            "loop-close" => spin(),
            "trap-close" => panic!("secret: hunter2"),
            "silent" => {}
            _ => {
                let Closed { peer, received, sent, duration, reason, attributes } = closed;
                let known = connection != 0;
                let list = list(&attributes);
                println!("closed {known} {} received={received} sent={sent} some-time={} {reason} {list}", socket(peer), duration > 0);
            }
        }
    }
}

export!(Guest);

fn attribute(name: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), value: value.into() }
}

fn list(attributes: &[Attribute]) -> String {
    attributes.iter().map(|attribute| format!("{}={}", attribute.name, attribute.value)).collect::<Vec<_>>().join(",")
}

fn socket(address: SocketAddress) -> String {
    match address {
        SocketAddress::Unknown => "unknown".to_owned(),
        SocketAddress::Ipv4(four) => format!("{}:{}", std::net::Ipv4Addr::from(four.address), four.port),
        SocketAddress::Ipv6(six) => {
            let bits = u128::from(six.high) << 64 | u128::from(six.low);
            format!("[{}]:{}", std::net::Ipv6Addr::from(bits), six.port)
        }
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}
