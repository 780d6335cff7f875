//! Guests that keep the contract: what they are shown, what comes of their decisions, how long they live.

use super::misbehaviour::Lines;
use super::*;

#[test]
fn a_guest_sees_what_it_asked_for_and_nothing_else() {
    let guests = behave("look", Isolation::Worker);
    let mut exchange = exchange();
    exchange.set_attribute("tenant".into(), "acme".into());
    let decision = guests.on_request(&exchange, &request(Some("q=1")), &mut None).unwrap();
    assert_eq!(
        set_header(&decision),
        "7 GET https example.com /a/b q=1 [user-agent=curl/8,user-agent=second\u{fffd}] client.ip=192.0.2.17,tenant=acme"
    );
    let decision = guests.on_response(&exchange, &request(None), &response(), &mut None).unwrap();
    assert_eq!(set_header(&decision), "7 200 [] request.path=/a/b");
}

#[test]
fn all_headers_without_those_that_are_hidden() {
    let guests = behave("all-headers", Isolation::Worker);
    let shown = set_header(&on_request(&guests).unwrap());
    for line in ["user-agent=curl/8", "cookie=a=1", "user-agent=second"] {
        assert!(shown.contains(line), "{shown}");
    }
    let shown = set_header(&on_response(&guests).unwrap());
    assert!(shown.contains("[server=origin]"), "no content-length: {shown}");
}

#[test]
fn every_edit_arrives() {
    let decision = on_request(&behave("all-edits", Isolation::Worker)).unwrap();
    assert_eq!(
        format!("{:?}", decision.edits),
        concat!(
            r#"[SetHeader("x-set", "trimmed"), AppendHeader("x-add", "1"), RemoveHeader("cookie"), SetMethod(POST), "#,
            r#"SetAuthority("other.example:8080"), SetPath("/new"), SetQuery(None), SetAttribute("log.seen", "yes")]"#
        )
    );
}

#[test]
fn every_verdict_arrives() {
    let verdict = |what| on_request(&behave(what, Isolation::Worker)).unwrap().verdict;
    assert!(matches!(verdict("forward"), Verdict::Forward(name) if name == "canary"));
    assert!(matches!(verdict("abort"), Verdict::Abort));
    let Verdict::Reply(reply) = verdict("reply") else { panic!() };
    assert_eq!(
        (reply.status, &reply.body[..], &reply.headers["content-type"]),
        (StatusCode::FORBIDDEN, &b"no"[..], &HeaderValue::from_static("text/plain"))
    );
}

#[test]
fn one_guest_for_a_worker_a_fresh_one_for_each_exchange() {
    let worker = behave("count", Isolation::Worker);
    let calls: Vec<String> = (0..3).map(|_| set_header(&on_request(&worker).unwrap())).collect();
    assert_eq!(calls, ["1", "2", "3"]);
    let fresh = behave("count", Isolation::Request);
    for _ in 0..3 {
        let mut held = None;
        assert_eq!(set_header(&fresh.on_request(&exchange(), &request(None), &mut held).unwrap()), "1");
        assert!(held.is_some());
        let decision = fresh.on_response(&exchange(), &request(None), &response(), &mut held).unwrap();
        assert_eq!((set_header(&decision).as_str(), held.is_none()), ("2", true));
    }
    let counts = fresh.configured_for_test().counts();
    assert_eq!(counts, Counts { calls: 6, guests: 3, cpu: counts.cpu, ..Counts::default() });
}

#[test]
fn a_fresh_guest_is_not_kept_when_no_phase_follows() {
    for what in ["reply", "abort"] {
        let mut held = None;
        behave(what, Isolation::Request).on_request(&exchange(), &request(None), &mut held).unwrap();
        assert!(held.is_none(), "{what}");
    }
    let only = behave("request-only", Isolation::Request);
    let mut held = None;
    only.on_request(&exchange(), &request(None), &mut held).unwrap();
    assert_eq!((held.is_none(), only.phases()), (true, (true, false)));
    assert!(is_next(&on_response(&only).unwrap()));
}

#[test]
fn a_guest_that_keeps_faulting_is_left_out_until_a_trial() {
    let guests = behave("trap-request", Isolation::Worker);
    let faults: Vec<_> = (0..22).map(|_| on_request(&guests).unwrap_err()).collect();
    let left_out = faults.iter().position(|fault| fault.cause == Cause::Overload);
    assert_eq!(left_out, Some(20), "{faults:?}");
    assert!(!faults[20].open, "overload = open, but it was traps that led here: trap = closed");
    assert_eq!(guests.configured_for_test().counts().guests, 20, "nobody is made for who is left out");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let trial = loop {
        let fault = on_request(&guests).unwrap_err();
        if fault.cause != Cause::Overload {
            break fault;
        }
        assert!(std::time::Instant::now() < deadline, "no trial");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!((trial.cause, trial.open), (Cause::Trap, false));
    let counts = guests.configured_for_test().counts();
    assert_eq!((counts.trap, counts.guests, counts.opened, counts.open, counts.closed), (21, 21, 2, 1, 1));
}

#[test]
fn more_guests_than_the_pool_has_is_an_overload_of_the_exchange() {
    let sandbox = Sandbox::new(&SandboxOptions { cache: None, guests: 2 }).unwrap();
    let plugin = sandbox.load(&raw(&[]), None).unwrap();
    let settings = serde_json::json!({});
    let remember = Remember { wanted: false, secret: false };
    let grant = Grant { isolation: Some(Isolation::Request), remember, ..Grant::default() };
    let configured = plugin.configure_under(&settings, grant, "x").unwrap_or_else(|error| panic!("{error:?}"));
    let guests = configured.for_worker();
    let mut held = [None, None, None];
    let results: Vec<_> =
        held.iter_mut().map(|held| guests.on_request(&exchange(), &request(None), held).map_err(|fault| fault.cause)).collect();
    assert!(matches!(&results[..], [Ok(_), Ok(_), Err(Cause::Overload)]), "{results:?}");
    let reused = plugin.configure(&settings, patient(), Isolation::Worker, FailurePolicy::default(), "x");
    assert!(matches!(reused, Err(ConfigureError::Fault(Fault { cause: Cause::Overload, .. }))));
    drop(held);
    let reused = plugin.configure(&settings, patient(), Isolation::Worker, FailurePolicy::default(), "x").unwrap();
    let (reused, mut held) = (reused.for_worker(), [None, None]);
    for held in &mut held {
        guests.on_request(&exchange(), &request(None), held).unwrap();
    }
    for _ in 0..5 {
        assert_eq!(on_request(&reused).unwrap_err().cause, Cause::Overload);
    }
    drop(held);
    assert!(on_request(&reused).is_ok(), "no back-off: the plugin did nothing wrong");
}

#[test]
fn settings_that_a_plugin_refuses_or_doubts() {
    let configure = |what: &str| configure_with(&guest("behave"), serde_json::json!({ "do": what }), patient(), Isolation::Worker);
    let problem = |path: &str, message: &str| Problem { path: path.into(), message: message.into() };
    let Err(ConfigureError::Problems(problems)) = configure("refuse") else { panic!() };
    assert_eq!(problems, [problem("/do", "must not be `refuse`")]);
    assert_eq!(configure("warn").unwrap().plan().warnings, [problem("", "careful")]);
}

#[test]
fn ordinary_std_code_works() {
    let log = Lines::default();
    let decision = tracing::subscriber::with_default(log.subscriber(), || on_request(&behave("std", Isolation::Worker)).unwrap());
    assert_eq!(set_header(&decision), "4950 true true 0 true 0");
    assert!(log.text().contains("sum 4950"), "{}", log.text());
}

#[test]
fn what_a_guest_prints_is_logged_with_its_link_and_without_control_characters() {
    let log = Lines::default();
    tracing::subscriber::with_default(log.subscriber(), || on_request(&behave("print", Isolation::Worker)).unwrap());
    let text = log.text();
    for expected in ["INFO portcullis::plugin: hello from the guest\\u{7} link=test", "WARN portcullis::plugin: and to stderr link=test"] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_light_guest_serves_both_phases() {
    let configured = configure_with(&guest("light"), serde_json::json!({}), patient(), Isolation::Request).unwrap();
    let guests = configured.for_worker();
    for decision in [on_request(&guests).unwrap(), on_response(&guests).unwrap()] {
        assert!(matches!(&decision.edits[..], [Edit::AppendHeader(name, value)] if name == "x-filter-tag" && value == "seen-by-filter-1"));
    }
}

#[test]
fn guests_of_one_plugin_do_not_see_each_other() {
    let (one, other) = (behave("count", Isolation::Worker), behave("count", Isolation::Worker));
    assert_eq!(set_header(&on_request(&one).unwrap()), "1");
    assert_eq!(set_header(&on_request(&other).unwrap()), "1");
    assert_eq!(set_header(&on_request(&one).unwrap()), "2");
}
