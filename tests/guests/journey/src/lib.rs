//! A plain std guest in the phases on the way to upstreams that does what its settings say: `{ "do": "…" }`. Most of it is misbehaviour;
//! the rest tells what it was shown, on its standard output and in attributes.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package guest:journey;
        world journey {
            include portcullis:plugin/upstream-plugin@0.1.0;
            export portcullis:plugin/on-request@0.1.0;
            export portcullis:plugin/on-response@0.1.0;
            export portcullis:plugin/bodies@0.1.0;
            export portcullis:plugin/on-request-body@0.1.0;
        }
    ",
    world: "guest:journey/journey",
    generate_all,
});

use exports::portcullis::plugin::{
    bodies, lifecycle, on_attempt, on_balance, on_done, on_request, on_request_body, on_response, on_tick, upstreams,
};
use portcullis::plugin::types::*;
use std::cell::RefCell;
use std::hint::black_box;

struct Guest;

thread_local! {
    static DO: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLS: RefCell<u32> = const { RefCell::new(0) };
}

fn told() -> String {
    DO.with_borrow(Clone::clone)
}

impl lifecycle::Guest for Guest {
    fn describe() -> String {
        r#"{"name":"journey","version":"1.0.0","settings":{"type":"object","properties":{"do":{"type":"string"}}}}"#.into()
    }

    fn configure(settings: String) -> Result<Plan, Vec<Problem>> {
        DO.set(settings.split('"').nth(3).unwrap_or("next").to_owned());
        let looks = matches!(&*told(), "reply" | "abort" | "trap-request" | "held" | "forward");
        let nothing = RequestInterest { fields: RequestFields::empty(), headers: vec![], all_headers: false, attributes: vec![] };
        let response = ResponseInterest { exchange: false, headers: vec![], all_headers: false, attributes: vec![] };
        let hears = matches!(&*told(), "trap-response" | "held");
        Ok(Plan { request: looks.then_some(nothing), response: hears.then_some(response), warnings: vec![] })
    }
}

impl upstreams::Guest for Guest {
    fn plan_upstreams() -> UpstreamPlan {
        let what = told();
        if what == "trap-plan" {
            panic!("secret: hunter2");
        }
        let attributes = || ["route", "upstream", "request.path", "log.journey"].map(str::to_owned).to_vec();
        let balance = BalanceInterest { fields: BalanceFields::all(), headers: vec!["x-zone".into()], attributes: attributes() };
        let statuses = match &*what {
            "bad-statuses" => vec![99],
            "never" => vec![],
            _ => vec![503],
        };
        let attempt = AttemptInterest { fields: AttemptFields::all(), statuses, attributes: attributes() };
        let done = DoneInterest { fields: DoneFields::all(), attributes: attributes() };
        let tick = match &*what {
            "tick" | "trap-tick" | "loop-tick" => Some(100),
            "fast-tick" => Some(99),
            _ => None,
        };
        UpstreamPlan { balance: Some(balance), attempt: Some(attempt), done: Some(done), tick }
    }
}

/// To look at bodies beside all the rest is refused, so nothing of this is called.
impl bodies::Guest for Guest {
    fn plan_bodies() -> BodyPlan {
        let request = RequestInterest { fields: RequestFields::empty(), headers: vec![], all_headers: false, attributes: vec![] };
        BodyPlan { request: (told() == "bodies").then_some(request), response: None }
    }

    fn release(_: u64) {}
}

impl on_request_body::Guest for Guest {
    fn begin(_: u64, _: RequestHead, _: Option<u64>) -> BodyStart {
        unreachable!()
    }

    fn watch(_: u64, _: Vec<u8>) {}

    fn transform(_: u64, _: Vec<u8>) -> BodyOutput {
        unreachable!()
    }

    fn end(_: u64, _: Vec<Header>) -> BodyEnd {
        unreachable!()
    }

    fn whole(_: u64, _: Vec<u8>, _: Vec<Header>) -> BodyDecision {
        unreachable!()
    }
}

impl on_request::Guest for Guest {
    fn on_request(_: u64, _: RequestHead) -> Decision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        let reply = || Reply { status: 418, headers: vec![], body: b"short".to_vec() };
        let verdict = match &*told() {
            "reply" => Verdict::Reply(reply()),
            "abort" => Verdict::Abort,
            "forward" => Verdict::Forward("other".into()),
            "trap-request" => panic!("secret: hunter2"),
            _ => Verdict::Next,
        };
        Decision { verdict, edits: vec![] }
    }
}

impl on_response::Guest for Guest {
    fn on_response(_: u64, _: ResponseHead) -> Decision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        if told() == "trap-response" {
            panic!("secret: hunter2");
        }
        Decision { verdict: Verdict::Next, edits: vec![] }
    }
}

impl on_balance::Guest for Guest {
    fn on_balance(exchange: u64, choice: Choice) -> BalanceDecision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        let what = told();
        let next = |attributes: Vec<Attribute>| BalanceDecision { verdict: BalanceVerdict::Next, attributes };
        let choose = |place| BalanceDecision { verdict: BalanceVerdict::Choose(place), attributes: vec![] };
        match &*what {
            "loop-balance" => spin(),
            "trap-balance" => panic!("secret: hunter2"),
            "choose-nobody" => choose(choice.candidates.len() as u32),
            "choose-last" | "stop" | "again" | "again-on" => choose(choice.candidates.len() as u32 - 1),
            "reserved" => next(vec![attribute("upstream", "mine")]),
            "many-attributes" => next((0..65).map(|n| attribute(&format!("a{n}"), "1")).collect()),
            "tag" => {
                let zone = choice.headers.first().map(|header| String::from_utf8_lossy(&header.value).into_owned()).unwrap_or_default();
                match choice.candidates.iter().position(|candidate| candidate.tags.contains(&zone)) {
                    Some(place) => choose(place as u32),
                    None => next(vec![attribute("log.zone", "elsewhere")]),
                }
            }
            "look" => {
                let text = format!(
                    "{} {} failed={} {} {} {} {} [{}]",
                    exchange != 0,
                    choice.upstream,
                    choice.failed,
                    choice.method,
                    choice.path,
                    choice.headers.len(),
                    list(&choice.attributes),
                    candidates(&choice.candidates),
                );
                println!("choice {text}");
                next(vec![attribute("log.journey", "seen")])
            }
            _ => next(vec![]),
        }
    }
}

impl on_attempt::Guest for Guest {
    fn on_attempt(exchange: u64, failed: FailedAttempt) -> AttemptDecision {
        CALLS.with_borrow_mut(|calls| *calls += 1);
        let decide = |verdict| AttemptDecision { verdict, attributes: vec![attribute("log.attempt", &failed.reason)] };
        println!(
            "attempt {} {} {} {:?} sent={} left={} [{}] {}",
            exchange != 0,
            failed.attempt,
            failed.reason,
            failed.status,
            failed.sent,
            failed.left,
            candidates(&failed.candidates),
            list(&failed.attributes),
        );
        match &*told() {
            "loop-attempt" => spin(),
            "trap-attempt" => panic!("secret: hunter2"),
            "stop" => decide(AttemptVerdict::Stop),
            "again" => decide(AttemptVerdict::Again),
            "again-on" if failed.left > 0 => decide(AttemptVerdict::AgainOn(failed.candidates.len() as u32 - 1)),
            "again-on-nobody" => decide(AttemptVerdict::AgainOn(99)),
            _ => decide(AttemptVerdict::Next),
        }
    }
}

impl on_done::Guest for Guest {
    fn on_done(exchange: u64, done: Done) {
        let calls = CALLS.with_borrow_mut(|calls| std::mem::take(calls));
        match &*told() {
            "loop-done" => spin(),
            "trap-done" => panic!("secret: hunter2"),
            "silent" => {}
            what => println!(
                "done {what} {} {}@{} attempts={} {} {} timed={} received={} sent={} calls={calls} {}",
                exchange != 0,
                done.upstream,
                if done.server.is_empty() { "-" } else { "server" },
                done.attempts,
                done.status.map_or("-".to_owned(), |status| status.to_string()),
                if done.reason.is_empty() { "-" } else { &done.reason },
                done.duration > 0,
                done.received,
                done.sent,
                list(&done.attributes),
            ),
        }
    }
}

impl on_tick::Guest for Guest {
    fn on_tick(tick: Tick) {
        match &*told() {
            "trap-tick" => panic!("secret: hunter2"),
            "loop-tick" => spin(),
            _ => println!("tick {} of {}/{}", tick.number, tick.worker, tick.workers),
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

fn candidates(candidates: &[Candidate]) -> String {
    let text = candidates.iter().map(|candidate| {
        let port = candidate.address.rsplit(':').next().unwrap_or_default().len() > 2;
        format!("{}:{port}:{}:{}:{}:{}", candidate.number, candidate.weight, candidate.tags.join("+"), candidate.running, candidate.latency > 0)
    });
    text.collect::<Vec<_>>().join(" ")
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}
