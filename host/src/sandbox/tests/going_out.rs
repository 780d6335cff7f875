//! Guests on the way to upstreams and after it, of every kind: `tests/guests/journey`.

use super::misbehaviour::Lines;
use super::*;
use crate::chain::{Audience, Bodiless, Chain, Course, Link, Walk};
use crate::config::{LinkOrigin, LinkSpec, Location, PluginRef};
use crate::message::{Again, Candidate, Choice, Done, FailedAttempt, Tick};
use std::time::Duration;

fn configured(what: &str, isolation: Isolation, fail: FailPolicy) -> Result<Arc<Configured>, ConfigureError> {
    let fail = FailurePolicy { trap: fail, memory: fail, bad_output: fail, timeout: fail, overload: fail };
    let plugin = sandbox().load(&guest("journey"), None).unwrap();
    plugin.configure(&serde_json::json!({ "do": what }), patient(), isolation, fail, "journey")
}

fn journey(what: &str) -> Rc<Guests> {
    Rc::new(configured(what, Isolation::Worker, FailPolicy::Closed).unwrap().for_worker())
}

/// What is logged meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.subscriber(), work);
    lines.text()
}

fn chain(links: usize) -> Chain {
    let spec = Arc::new(LinkSpec {
        name: "journey".into(),
        plugin: PluginRef::Bundled("journey"),
        settings: serde_json::json!({}),
        settings_at: Default::default(),
        when: None,
        origin: LinkOrigin::Route,
        at: Location { file: "test".into(), line: 1, column: 1 },
    });
    Chain { links: (0..links).map(|filter| Link { filter, when: None, spec: spec.clone() }).collect() }
}

/// What became of one exchange over links of these.
#[derive(Debug, Default)]
struct Gone {
    chosen: Option<usize>,
    again: Again,
    /// Why it was halted.
    halted: Option<Cause>,
    faults: Vec<Cause>,
    attributes: Vec<(String, String)>,
}

/// Request, choice, failed attempt, end: as far as links let it go.
fn go(filters: &[Rc<Guests>]) -> Gone {
    let mut gone = Gone::default();
    let (chain, mut exchange, mut request) = (chain(filters.len()), exchange(), request(Some("now")));
    request.headers.insert("x-zone", HeaderValue::from_static("b"));
    let mut walk = Walk::new(&chain, filters);
    let attendance = walk.attend();
    let faults = std::cell::RefCell::new(Vec::new());
    let note = |_: &Link, fault: &Fault| faults.borrow_mut().push(fault.cause);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let course = runtime.block_on(walk.on_request(&mut exchange, &mut request, &mut Bodiless, |_| true, note));
    if matches!(course, Course::Onward) {
        exchange.upstream = Some("app".into());
        let tags = [vec!["a".to_owned()], vec!["b".to_owned(), "new".to_owned()]];
        let candidate = |number: u32, tags| Candidate {
            number,
            address: "10.0.0.1:8080",
            weight: number + 1,
            tags,
            running: number,
            latency: Duration::from_millis(number.into()),
        };
        let candidates = [candidate(0, &tags[0][..]), candidate(1, &tags[1][..])];
        let choice = Choice { upstream: "app", failed: 0, candidates: &candidates };
        match walk.on_balance(&mut exchange, &request, &choice, note) {
            Ok(chosen) => gone.chosen = chosen,
            Err(fault) => gone.halted = Some(fault.cause),
        }
        let failed = FailedAttempt {
            server: "10.0.0.1:8080",
            attempt: 1,
            reason: "status",
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            sent: true,
            left: 1,
            candidates: &candidates[1..],
        };
        if gone.halted.is_none() && walk.judges(failed.status) {
            match walk.on_attempt(&mut exchange, &request, &failed, note) {
                Ok(again) => gone.again = again,
                Err(fault) => gone.halted = Some(fault.cause),
            }
        }
    }
    drop(walk);
    let audience = Audience::of(&chain, filters);
    let done = Done {
        upstream: Some("app"),
        server: Some("10.0.0.1:8080"),
        attempts: 2,
        status: Some(StatusCode::OK),
        reason: None,
        duration: Duration::from_millis(3),
        first_byte: None,
        received: 10,
        sent: 20,
    };
    for _ in 0..2 {
        attendance.tell(&audience, &exchange, &request, &done, note);
    }
    gone.faults = faults.take();
    gone.attributes = exchange.attributes.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    gone
}

#[test]
fn a_guest_sees_what_it_asked_for() {
    let lines = logged(|| assert_eq!(go(&[journey("look")]).faults, []));
    let choice = "choice true app failed=0 GET /a/b 1 route=/*,upstream=app,request.path=/a/b [0:true:1:a:0:false 1:true:2:b+new:1:true]";
    assert!(lines.contains(choice), "{lines}");
    let attempt =
        "attempt true 1 status Some(503) sent=true left=1 [1:true:2:b+new:1:true] route=/*,upstream=app,request.path=/a/b,log.journey=seen";
    assert!(lines.contains(attempt), "{lines}");
    let done = "done look true app@server attempts=2 200 - timed=true received=10 sent=20";
    assert_eq!(lines.matches(done).count(), 1, "{lines}");
}

#[test]
fn every_verdict_arrives() {
    assert_eq!(go(&[journey("choose-last")]).chosen, Some(1));
    assert_eq!(go(&[journey("tag")]).chosen, Some(1));
    assert_eq!(go(&[journey("next")]).chosen, None);
    for (what, again) in [("stop", Again::Stop), ("again", Again::Anywhere), ("again-on", Again::On(0)), ("next", Again::AsConfigured)] {
        let gone = go(&[journey(what)]);
        assert_eq!(gone.again, again, "{what}");
        assert!(gone.attributes.contains(&("log.attempt".into(), "status".into())), "{gone:?}");
    }
}

#[test]
fn the_first_link_that_says_something_decides() {
    let gone = go(&[journey("look"), journey("stop"), journey("again")]);
    assert_eq!((gone.chosen, gone.again), (Some(1), Again::Stop));
}

#[test]
fn statuses_that_were_not_asked_for_are_not_judged() {
    let lines = logged(|| assert_eq!(go(&[journey("never")]).again, Again::AsConfigured));
    assert!(!lines.contains("attempt ") && lines.contains("done never"), "{lines}");
}

#[test]
fn misbehaviour_is_told_by_its_cause_and_ends_the_exchange() {
    for (what, cause) in [
        ("trap-balance", Cause::Trap),
        ("loop-balance", Cause::Timeout),
        ("choose-nobody", Cause::BadOutput),
        ("reserved", Cause::BadOutput),
        ("many-attributes", Cause::BadOutput),
        ("trap-attempt", Cause::Trap),
        ("loop-attempt", Cause::Timeout),
        ("again-on-nobody", Cause::BadOutput),
    ] {
        let lines = logged(|| {
            let gone = go(&[journey(what)]);
            assert_eq!((gone.halted, &gone.faults[..]), (Some(cause), &[cause][..]), "{what}");
        });
        assert!(!lines.contains("done "), "who faulted is not told of the end: {lines}");
    }
}

#[test]
fn a_fault_under_an_open_policy_leaves_it_to_the_next_link() {
    let open = Rc::new(configured("trap-balance", Isolation::Worker, FailPolicy::Open).unwrap().for_worker());
    let gone = go(&[open, journey("choose-last")]);
    assert_eq!((gone.chosen, gone.halted, &gone.faults[..]), (Some(1), None, &[Cause::Trap][..]));
}

#[test]
fn a_fault_in_the_last_phase_changes_nothing_for_others() {
    for (what, cause) in [("trap-done", Cause::Trap), ("loop-done", Cause::Timeout)] {
        let lines = logged(|| {
            let gone = go(&[journey("next"), journey(what)]);
            assert_eq!((gone.halted, &gone.faults[..]), (None, &[cause][..]), "{what}");
        });
        assert!(lines.contains("done next"), "{lines}");
    }
}

#[test]
fn a_fresh_guest_is_one_exchanges_from_its_request_to_its_end() {
    let fresh = configured("held", Isolation::Request, FailPolicy::Closed).unwrap();
    let guests = Rc::new(fresh.for_worker());
    let lines = logged(|| {
        assert_eq!(go(std::slice::from_ref(&guests)).faults, []);
        assert_eq!(go(std::slice::from_ref(&guests)).faults, []);
    });
    // Request, choice and attempt came to the guest that is told.
    assert_eq!(lines.matches(" calls=3 ").count(), 2, "{lines}");
    assert_eq!(fresh.counts().guests, 2);
}

#[test]
fn who_answers_is_told_and_who_was_not_reached_is_not() {
    let lines = logged(|| assert_eq!(go(&[journey("next"), journey("reply"), journey("look")]).faults, []));
    let told: Vec<bool> = ["done next", "done reply", "done look"].iter().map(|done| lines.contains(done)).collect();
    assert_eq!(told, [true, true, false], "{lines}");
}

#[test]
fn plans_that_make_no_sense_refuse_the_settings() {
    for (what, why) in [
        ("trap-plan", "unreachable"),
        ("bad-statuses", "the status 99"),
        ("fast-tick", "every 99 ms"),
        ("bodies", "looks at bodies, which a link with `on-balance`"),
    ] {
        match configured(what, Isolation::Worker, FailPolicy::Closed).map(|_| ()) {
            Err(ConfigureError::Fault(fault)) => assert!(fault.detail.contains(why), "{what}: {}", fault.detail),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn ticks_come_to_the_worker_s_guest_and_faults_replace_it() {
    let tick = Tick { number: 3, worker: 1, workers: 2 };
    let ticking = configured("tick", Isolation::Worker, FailPolicy::Closed).unwrap();
    let guests = ticking.for_worker();
    assert_eq!(guests.ticks_every(), Some(Duration::from_millis(100)));
    assert!(guests.tick(tick).await.is_ok() && guests.tick(tick).await.is_ok());
    assert_eq!((ticking.counts().guests, ticking.counts().calls), (1, 2));
    for (what, cause) in [("trap-tick", Cause::Trap), ("loop-tick", Cause::Timeout)] {
        let ticking = configured(what, Isolation::Worker, FailPolicy::Closed).unwrap();
        let guests = ticking.for_worker();
        for _ in 0..2 {
            assert_eq!(guests.tick(tick).await.unwrap_err().cause, cause, "{what}");
        }
        assert_eq!(ticking.counts().guests, 2);
    }
    assert_eq!(journey("next").ticks_every(), None);
}

#[test]
fn inspect_shows_the_phases() {
    let inspected = sandbox().inspect(&guest("journey")).unwrap().plugin.unwrap();
    assert_eq!(inspected.upstream_phases, UpstreamPhases { balance: true, attempt: true, done: true, tick: true });
    assert_eq!(inspected.remembers, Err(Forgets::GoingOut));
    assert_eq!(inspected.plan.unwrap().upstreams.attempt.unwrap().statuses, [503]);
}
