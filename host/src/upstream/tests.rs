//! Against real sockets: an origin that is told byte by byte what to say.

mod bodies;
mod reuse;
mod rig;

use super::*;
use crate::wire::MalformedResponse;
use http::Method;
use rig::*;
use std::task::Poll;
use tokio::join;

#[tokio::test(flavor = "local")]
async fn a_new_connection_that_closes_unanswered_is_an_error() {
    let (origin, upstreams) = pair().await;
    let serve = async { drop(origin.accept().await) };
    let ((), outcome) = join!(serve, get(&upstreams));
    assert!(matches!(outcome, Err(SendError::Reset(_))), "{outcome:?}");
}

#[tokio::test(flavor = "local")]
async fn malformed_responses_are_errors() {
    let table = [
        ("HTTP/1.1 200 OK\nX: y\n\n", MalformedResponse::BareLineBreak),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", MalformedResponse::LengthAndChunked),
        ("SSH-2.0-x\r\n\r\n", MalformedResponse::StatusLine),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", MalformedResponse::UnexpectedSwitch),
    ];
    for (answer, expected) in table {
        let (origin, upstreams) = pair().await;
        let serve = origin.answer_and_wait(answer);
        let ((), outcome) = join!(serve, get(&upstreams));
        assert!(matches!(outcome, Err(SendError::Malformed(found)) if found == expected), "{answer:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn a_body_that_is_malformed_from_the_start_is_an_error_too() {
    let (origin, upstreams) = pair().await;
    let serve = origin.answer_and_wait("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
    let ((), outcome) = join!(serve, get(&upstreams));
    assert!(matches!(outcome, Err(SendError::Malformed(MalformedResponse::Body(_)))), "{outcome:?}");
}

#[tokio::test(flavor = "local")]
async fn a_server_that_refuses_is_passed_over() {
    let origin = Origin::new().await;
    let upstreams = upstreams_with(&[refusing().await, origin.address()], |_, _| {});
    let serve = origin.answer(PLAIN);
    let ((), outcome) = join!(serve, get(&upstreams));
    let (_, _, attempt) = outcome.expect("an answer");
    assert_eq!((attempt.attempts, attempt.server.as_deref()), (2, Some(&*origin.address().to_string())));
}

#[tokio::test(flavor = "local")]
async fn retries_have_their_limits() {
    let refusing = [refusing().await, refusing().await, refusing().await];
    for (servers, retries, attempts) in [(1, 1, 1), (3, 0, 1), (3, 1, 2), (3, 9, 3)] {
        let upstreams = upstreams_with(&refusing[..servers], |limits, _| limits.retries = retries);
        let failed = send_with(&upstreams, Method::GET, none(), TIMES).await.err().expect("nobody listens");
        assert!(matches!(failed.error, SendError::Connect(_)));
        assert_eq!(failed.attempt.attempts, attempts, "{servers} servers, {retries} retries");
    }
}

#[tokio::test(flavor = "local")]
async fn an_origin_that_does_not_answer_is_given_up() {
    for (response, total, expired) in [(SOON, None, false), (NEVER, Some(SOON), true), (SOON, Some(NEVER), false)] {
        let (origin, upstreams) = pair().await;
        let times = Times { response, idle: NEVER, total: total.map(|total| Instant::now() + total) };
        let serve = async { origin.accept().await.closed().await };
        let ((), outcome) = join!(serve, send_with(&upstreams, Method::GET, none(), times));
        let error = outcome.err().expect("nothing came").error;
        assert!(if expired { matches!(error, SendError::Expired) } else { matches!(error, SendError::ResponseTimeout) }, "{error:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn an_origin_that_stalls_within_a_body_is_given_up() {
    for (idle, total, expired) in [(SOON, None, false), (NEVER, Some(SOON * 2), true)] {
        let (origin, upstreams) = pair().await;
        let times = Times { response: NEVER, idle, total: total.map(|total| Instant::now() + total) };
        let serve = origin.answer_and_wait("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
        let ask = async { text(body(send_with(&upstreams, Method::GET, none(), times).await.expect("a head").content)).await };
        let ((), outcome) = join!(serve, ask);
        let error = outcome.expect_err("the rest never came");
        assert!(if expired { matches!(error, BodyError::Expired) } else { matches!(error, BodyError::OriginStalled) }, "{error:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn an_origin_that_takes_nothing_is_given_up() {
    let (origin, upstreams) = pair().await;
    let endless = from_fn(|_| Poll::Ready(Some(Bytes::from_static(&[b'x'; 100_000]))));
    let times = Times { response: NEVER, idle: SOON, total: None };
    let (_peer, outcome) = join!(origin.accept(), send_with(&upstreams, Method::POST, endless, times));
    assert!(matches!(outcome.err().map(|failed| failed.error), Some(SendError::ResponseTimeout)));
}

#[tokio::test(flavor = "local")]
async fn names_are_resolved_and_unknown_ones_are_errors() {
    let origin = Origin::new().await;
    let port = origin.address().port();
    let upstreams = upstreams_with(&[], |_, spec| spec.servers = vec![named("localhost", port)]);
    let serve = origin.answer(PLAIN);
    let ((), outcome) = join!(serve, get(&upstreams));
    assert_eq!(outcome.expect("an answer").1, "ok");

    let upstreams = upstreams_with(&[], |_, spec| spec.servers = vec![named("no.such.name.invalid", port)]);
    assert!(matches!(get(&upstreams).await, Err(SendError::Connect(_))));
}

#[test]
fn upstreams_are_found_by_name() {
    let upstreams = upstreams_with(&[], |_, _| {});
    assert_eq!(upstreams.index("app"), Some(0));
    assert_eq!(upstreams.name(0).map(|name| &**name), Some("app"));
    assert_eq!((upstreams.index("nope"), upstreams.name(1)), (None, None));
}
