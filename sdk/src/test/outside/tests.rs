//! The mock does what the proxy does, and says what it was not given.

use super::{Installed, Outside};
use crate::verdict::Reply;
use crate::{clock, http, kv, log, metrics, random, secret};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The message of the panic.
fn refused<T>(run: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(run()))) else { panic!("it did not panic") };
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| (*panic.downcast_ref::<&str>().expect("a text")).to_owned())
}

#[test]
fn what_was_not_given_says_what_to_add() {
    let cases: [(fn(), &str, &str); 8] = [
        (|| log::info!("a"), ".log()", "log = true"),
        (|| _ = clock::now(), ".clock(", "clock = true"),
        (|| _ = clock::monotonic(), ".clock(", "clock = true"),
        (|| drop(random::bytes(1)), ".random()", "random = true"),
        (|| drop(secret::get("KEY")), ".secret(\"KEY\"", "secret = [\"KEY\"]"),
        (|| metrics::count("a", &[], 1), ".metrics()", "metrics = true"),
        (|| drop(kv::Store::named("s").get("a")), ".store(\"s\")", "kv = [\"s\"]"),
        (|| drop(http::Request::get("idp", "/").send()), ".upstream(\"idp\"", "http = [\"idp\"]"),
    ];
    for (run, add, allow) in cases {
        let check = || {
            let said = refused(run);
            assert!(said.contains(add) && said.contains(allow), "{said}");
        };
        check();
        let _outside = Outside::new().install();
        check();
    }
}

#[test]
fn of_what_was_given_other_names_are_told_as_the_proxy_tells_them() {
    let outside = Outside::new().secret("A", "1").store("s").upstream("idp", |_: &http::Request<'_>| Reply::new(204)).install();
    assert_eq!((secret::get("A"), secret::get("B")), (Some(b"1".to_vec()), None));
    assert_eq!(kv::Store::named("t").get("a"), Err(kv::Error::Denied));
    assert_eq!(http::Request::get("other", "/").send(), Err(http::Error::Denied));
    assert!(outside.asked().is_empty());
}

#[test]
fn one_at_a_time_and_gone_when_it_is_dropped() {
    let first = Outside::new().log().install();
    assert!(refused(|| Outside::new().install()).contains("installed on this thread already"));
    log::warn!("still {}", "there");
    assert_eq!(first.logged(), [(log::Level::Warn, "still there".to_owned())]);
    drop(first);
    assert!(refused(|| log::info!("a")).contains(".log()"));
}

#[test]
fn the_clock_stands_until_it_is_moved() {
    let outside = Outside::new().clock(Duration::from_secs(100)).install();
    let begun = clock::monotonic();
    assert_eq!(clock::now(), Duration::from_secs(100));
    outside.advance(Duration::from_millis(1_500));
    assert_eq!((clock::now(), clock::monotonic() - begun), (Duration::from_millis(101_500), Duration::from_millis(1_500)));
}

fn store() -> (Installed, kv::Store<'static>) {
    (Outside::new().store("s").install(), kv::Store::named("s"))
}

#[test]
fn a_store_does_what_the_contract_says() {
    let (outside, store) = store();
    let second = Some(Duration::from_secs(1));
    assert_eq!((store.add("n", 5, second), store.add("n", -7, None), store.get("n")), (Ok(5), Ok(-2), Ok(Some(b"-2".to_vec()))));
    outside.advance(Duration::from_millis(999));
    assert_eq!(store.add("n", 1, second), Ok(-1));
    outside.advance(Duration::from_millis(1));
    assert_eq!((store.get("n"), store.add("n", 1, None)), (Ok(None), Ok(1)), "adding did not prolong it");
    store.set("x", "01", None).unwrap();
    assert_eq!(store.add("x", 1, None), Err(kv::Error::WrongType));
    store.set("x", i64::MAX.to_string(), None).unwrap();
    assert_eq!(store.add("x", 1, None), Err(kv::Error::WrongType));
    assert_eq!((store.delete("x"), store.delete("x")), (Ok(true), Ok(false)));
    assert_eq!(store.compare_and_set("c", Some(b"1"), "2", None), Ok(false));
    assert_eq!(store.compare_and_set("c", None, "1", second), Ok(true));
    assert_eq!(store.compare_and_set("c", Some(b"1"), "2", second), Ok(true));
    outside.advance(Duration::from_secs(1));
    assert_eq!((store.get("c"), store.delete("c")), (Ok(None), Ok(false)));
    outside.break_store("s", kv::Error::Full);
    assert_eq!(store.set("a", "1", None), Err(kv::Error::Full));
    outside.mend_store("s");
    assert_eq!(store.set("a", "1", None), Ok(()));
    for key in [0, 1025] {
        assert!(refused(|| store.get("k".repeat(key))).starts_with("fault: "), "{key}");
    }
    assert!(refused(|| store.set("k", "v".repeat((64 << 10) + 1), None)).starts_with("fault: "));
}

#[test]
fn a_bucket_is_taken_from_and_fills_again() {
    let (outside, store) = store();
    let take = |units| store.take("b", units, 3, Duration::from_millis(100));
    let millis = Duration::from_millis;
    assert_eq!(take(2), Ok(kv::Taken { admitted: true, left: 1, retry: millis(0), full: millis(200) }));
    assert_eq!(take(2), Ok(kv::Taken { admitted: false, left: 1, retry: millis(100), full: millis(200) }));
    outside.advance(millis(99));
    assert_eq!(take(2), Ok(kv::Taken { admitted: false, left: 1, retry: millis(1), full: millis(101) }));
    outside.advance(millis(1));
    assert_eq!(take(2), Ok(kv::Taken { admitted: true, left: 0, retry: millis(0), full: millis(300) }));
    assert_eq!(store.add("b", 1, None), Err(kv::Error::WrongType));
    store.set("n", "1", None).unwrap();
    assert_eq!(store.take("n", 1, 1, millis(1)), Err(kv::Error::WrongType));
    assert!(refused(|| take(4)).starts_with("fault: ") && refused(|| store.take("b", 0, 0, millis(1))).starts_with("fault: "));
}

#[test]
fn times_are_rounded_up_to_whole_milliseconds() {
    let (outside, store) = store();
    store.set("a", "1", Some(Duration::from_nanos(1))).unwrap();
    assert_eq!(store.get("a"), Ok(Some(b"1".to_vec())));
    outside.advance(Duration::from_millis(1));
    assert_eq!(store.get("a"), Ok(None));
    store.set("a", "1", Some(Duration::MAX)).unwrap();
    assert_eq!(store.get("a"), Ok(Some(b"1".to_vec())));
}

#[test]
fn numbers_are_kept_by_kind_and_labels() {
    let outside = Outside::new().metrics().install();
    metrics::count("asked", &[("a", "1"), ("b", "2")], 2);
    metrics::count("asked", &[("b", "2"), ("a", "1")], 3);
    metrics::gauge("held", &[], 7.0);
    metrics::gauge("held", &[], 6.5);
    metrics::observe("took", &[], 0.5);
    metrics::observe("took", &[], 0.25);
    assert_eq!((outside.counted("asked", &[("a", "1"), ("b", "2")]), outside.counted("asked", &[])), (5, 0));
    assert_eq!((outside.gauge("held", &[]), outside.gauge("other", &[])), (Some(6.5), None));
    assert_eq!(outside.observed("took", &[]), [0.5, 0.25]);
    let wrong: [fn(); 5] = [
        || metrics::gauge("asked", &[], 1.0),
        || metrics::count("A", &[], 1),
        || metrics::count("a", &[("plugin", "x")], 1),
        || metrics::count("a", &[("x", ""), ("x", "")], 1),
        || metrics::count("a", &[("a", ""); 9], 1),
    ];
    for run in wrong {
        assert!(refused(run).starts_with("fault: "));
    }
}

#[test]
fn upstreams_are_asked_in_order_and_answer_or_do_not() {
    let outside = Outside::new()
        .upstream("idp", |request: &http::Request<'_>| match request.path() {
            "/away" => Err(http::Error::Timeout),
            path => Ok(Reply::new(200).header("x-path", path.to_owned()).body(request.body_bytes().to_vec())),
        })
        .install();
    let requests = [
        http::Request::get("idp", "/away"),
        http::Request::post("idp", "/in").header("x-a", "1").body("hello").timeout(Duration::from_millis(7)),
        http::Request::get("idp", "no-slash"),
    ];
    let answers = http::send_all(&requests);
    assert_eq!(answers[0], Err(http::Error::Timeout));
    let answer = answers[1].as_ref().unwrap();
    assert_eq!((answer.status(), answer.header_str("x-path"), answer.text()), (200, Some("/in"), Some("hello")));
    assert!(matches!(answers[2], Err(http::Error::Invalid(_))));
    let asked = &outside.asked()[1];
    assert_eq!((&*asked.method, asked.timeout, &*asked.headers), ("POST", Some(7), &[("x-a".to_owned(), b"1".to_vec())][..]));
    assert!(refused(|| http::send_all(&vec![http::Request::get("idp", "/"); 17])).starts_with("fault: "));
}

#[test]
fn random_numbers_are_the_same_in_each_test() {
    let numbers = || {
        let _outside = Outside::new().random().install();
        (random::bytes(16), random::bytes(16))
    };
    let (first, second) = numbers();
    assert!(first != second && numbers() == (first, second));
}
