use super::*;
use portcullis_sdk::kv;
use portcullis_sdk::test::{Harness, Installed, Outside, SentRequest, get};

/// A server that knows `token=good`.
fn server() -> Outside {
    Outside::new().log().store("(local)").store("shared").upstream("idp", |request: &http::Request| {
        let uri = request.header_str("x-forwarded-uri").unwrap_or_default();
        match request.header_str("cookie") {
            Some("token=good") if uri.starts_with("/private") => Ok(Reply::new(200)
                .header("x-user", "ann")
                .header("x-groups", "a")
                .header("x-groups", "b")
                .header("cache-control", "no-store")),
            Some("token=good") => Ok(Reply::new(204).header("x-user", "ann").header("x-groups", "a").header("x-groups", "b")),
            Some("token=slow") => Err(http::Error::Timeout),
            _ => Ok(Reply::new(302).header("location", "https://login.test/").header("set-cookie", "state=1").text("log in\n")),
        }
    })
}

fn auth(more: &str) -> Harness<ForwardAuth> {
    Harness::new(&format!(r#"{{"upstream": "idp", "path": "/auth?x", "copy": ["X-User", "x-groups", "x-mail"]{more}}}"#))
}

fn visit(path: &str, cookie: &str) -> SentRequest {
    get(&format!("https://app.test{path}")).header("cookie", cookie).attribute("client.ip", "192.0.2.1")
}

fn asked(outside: &Installed) -> usize {
    outside.asked().len()
}

#[test]
fn a_yes_goes_on_with_who_it_is() {
    let outside = server().install();
    let sent = visit("/a?b=c", "token=good")
        .header("x-user", "root")
        .header("x-mail", "forged")
        .header("x-other", "1")
        .header("x-forwarded-uri", "/forged");
    let after = auth("").on_request(sent);
    assert!(after.reply().is_none());
    assert_eq!((after.headers("x-user"), after.headers("x-groups"), after.header("x-mail")), (vec!["ann"], vec!["a", "b"], None));
    let question = &outside.asked()[0];
    assert_eq!((&*question.method, &*question.path, question.timeout), ("GET", "/auth?x", Some(1_000)));
    let field = |name: &str| {
        let values: Vec<_> =
            question.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| String::from_utf8_lossy(value)).collect();
        values.join("|")
    };
    for (name, value) in [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.test"),
        ("x-forwarded-uri", "/a?b=c"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-original-method", "GET"),
        ("x-original-url", "https://app.test/a?b=c"),
        ("cookie", "token=good"),
        ("x-other", ""),
        ("x-user", ""),
    ] {
        assert_eq!(field(name), value, "{name}");
    }
}

#[test]
fn a_no_is_the_client_s() {
    let _outside = server().install();
    let outcome = auth("").on_request(visit("/", "token=bad"));
    let reply = outcome.reply().expect("refused");
    assert_eq!((reply.status(), reply.body_bytes()), (302, &b"log in\n"[..]));
    assert_eq!((reply.header_str("location"), reply.header_str("set-cookie")), (Some("https://login.test/"), Some("state=1")));
}

#[test]
fn without_an_answer_nobody_goes_on() {
    let outside = server().install();
    let outcome = auth(r#", "unanswered": 502"#).on_request(visit("/", "token=slow"));
    assert_eq!(outcome.reply().map(Reply::status), Some(502));
    assert_eq!(outside.logged()[0].1, "upstream `idp` does not say who may: no answer in time");
}

#[test]
fn a_yes_is_kept_for_the_same_request_alone() {
    let outside = server().install();
    let auth = auth(r#", "cache": "30s""#);
    let goes_on = |sent: SentRequest| auth.on_request(sent).reply().is_none();
    for _ in 0..3 {
        let after = auth.on_request(visit("/", "token=good"));
        assert_eq!((after.headers("x-groups"), after.header("x-user")), (vec!["a", "b"], Some("ann")));
    }
    assert_eq!(asked(&outside), 1);
    assert!(goes_on(visit("/b", "token=good")) && goes_on(visit("/?c", "token=good")));
    assert!(goes_on(visit("/", "token=good").header("accept", "x")) && goes_on(get("https://b.test/").header("cookie", "token=good")));
    assert_eq!(asked(&outside), 5);
    assert!(!goes_on(visit("/", "token=bad")) && !goes_on(visit("/", "token=bad")));
    assert_eq!(asked(&outside), 7, "a no is not kept");
    assert!(goes_on(visit("/private", "token=good")) && goes_on(visit("/private", "token=good")));
    assert_eq!(asked(&outside), 9, "nor is what must not be");
    outside.advance(Duration::from_secs(30));
    assert!(goes_on(visit("/", "token=good")));
    assert_eq!(asked(&outside), 10);
}

#[test]
fn a_store_that_is_away_is_as_if_there_were_none() {
    let outside = server().install();
    let auth = auth(r#", "cache": "30s", "store": "shared""#);
    outside.break_store("shared", kv::Error::Unavailable("away".to_owned()));
    for _ in 0..2 {
        assert!(auth.on_request(visit("/", "token=good")).reply().is_none());
    }
    assert_eq!(asked(&outside), 2);
    outside.mend_store("shared");
    auth.on_request(visit("/", "token=good"));
    auth.on_request(visit("/", "token=good"));
    assert_eq!(asked(&outside), 3);
}

#[test]
fn everything_is_sent_if_that_is_wanted() {
    let outside = server().install();
    auth(r#", "send": "*", "method": "HEAD", "host": "idp.test""#)
        .on_request(visit("/", "token=good").header("x-other", "1").header("expect", "100-continue"));
    let question = &outside.asked()[0];
    assert!(question.headers.iter().any(|(name, _)| name == "x-other") && !question.headers.iter().any(|(name, _)| name == "expect"));
    assert_eq!((&*question.method, &*question.authority), ("HEAD", "idp.test"));
}

#[test]
fn mistakes_are_told_at_their_places() {
    let problems = Harness::<ForwardAuth>::refused(
        r#"{"upstream": "idp", "path": "auth", "method": "get", "send": ["a b"], "copy": "Host", "timeout": "0s", "store": "shared"}"#,
    );
    let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(places, ["/copy", "/timeout", "/store", "/path", "/method", "/send/0"]);
}
