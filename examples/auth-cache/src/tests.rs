use super::*;
use portcullis_sdk::test::{Harness, Installed, Outcome, Outside, SentRequest, get};

const SETTINGS: &str = r#"{ "service": "idp", "store": "sessions" }"#;

/// Everything that the plugin is granted, and a service that knows one user.
fn outside() -> Outside {
    Outside::new().log().metrics().tracing().store("sessions").upstream("idp", |request: &http::Request| match request.header_str("authorization") {
        Some("Bearer alice") => Reply::new(204).header("x-user", "alice"),
        Some("Bearer slow") => Reply::new(500),
        _ => Reply::new(403),
    })
}

fn ask(credential: &str) -> Outcome<SentRequest> {
    Harness::<AuthCache>::new(SETTINGS).on_request(get("/").header("authorization", credential).header("x-user", "root"))
}

fn status(credential: &str) -> Option<u16> {
    ask(credential).reply().map(|reply| reply.status())
}

fn hits_and_misses(outside: &Installed) -> (u64, u64) {
    (outside.counted("auth_cache", &[("result", "hit")]), outside.counted("auth_cache", &[("result", "miss")]))
}

#[test]
fn an_answer_is_kept_for_half_a_minute() {
    let outside = outside().install();
    for _ in 0..3 {
        assert_eq!(ask("Bearer alice").header("x-user"), Some("alice"));
    }
    assert_eq!((outside.asked().len(), hits_and_misses(&outside)), (1, (2, 1)));
    assert_eq!(outside.traced("auth_cache").as_deref(), Some("hit"));
    outside.advance(Duration::from_secs(30));
    assert_eq!(status("Bearer alice"), None);
    assert_eq!((outside.asked().len(), hits_and_misses(&outside)), (2, (2, 2)));
}

#[test]
fn a_refusal_is_logged_and_not_kept() {
    let outside = outside().install();
    assert_eq!((status("Bearer mallory"), status("Bearer mallory")), (Some(403), Some(403)));
    assert_eq!(outside.asked().len(), 2);
    let (level, line) = &outside.logged()[0];
    assert_eq!((*level, &**line), (log::Level::Info, "somebody is not let in: the service says 403"));
    assert!(!line.contains("mallory"), "credentials are not for logs");
}

#[test]
fn without_a_credential_nobody_is_asked() {
    let outside = outside().install();
    let after = Harness::<AuthCache>::new(SETTINGS).on_request(get("/").header("x-user", "root"));
    assert_eq!(after.reply().map(|reply| reply.status()), Some(401));
    assert!(outside.asked().is_empty());
}

#[test]
fn a_service_that_does_not_answer_lets_nobody_in_but_who_is_remembered() {
    let outside = outside().install();
    assert_eq!(status("Bearer slow"), Some(503));
    assert_eq!(outside.logged()[0].1, "the auth service does not answer: status 500");
    drop(outside);
    let outside = Outside::new().log().metrics().tracing().store("sessions");
    let _outside = outside.upstream("idp", |_: &http::Request| Err::<Reply, _>(http::Error::Timeout)).install();
    kv::Store::named("sessions").set("Bearer alice", "alice", None).unwrap();
    assert_eq!((status("Bearer alice"), status("Bearer bob")), (None, Some(503)));
}

#[test]
fn without_its_store_it_asks_each_time() {
    let outside = outside().install();
    outside.break_store("sessions", kv::Error::Unavailable("away".to_owned()));
    assert_eq!((status("Bearer alice"), status("Bearer alice"), status("Bearer bob")), (None, None, Some(403)));
    assert_eq!((outside.asked().len(), hits_and_misses(&outside)), (3, (0, 3)));
}

#[test]
fn a_credential_too_long_for_a_key_is_asked_about_each_time() {
    let outside = outside().upstream("idp", |_: &http::Request| Reply::new(200)).install();
    let long = format!("Bearer {}", "x".repeat(LONGEST_KEY));
    assert_eq!((status(&long), status(&long)), (None, None));
    assert_eq!(outside.asked().len(), 2);
}
