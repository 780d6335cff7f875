//! Which connections are used again, and which are closed.

use super::super::*;
use super::rig::*;
use http::{Method, StatusCode};
use tokio::join;

#[tokio::test(flavor = "local")]
async fn one_connection_carries_request_after_request() {
    let (origin, upstreams) = pair().await;
    let serve = async {
        let mut peer = origin.accept().await;
        for _ in 0..3 {
            assert_eq!(peer.answer(PLAIN).await, "GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n");
        }
    };
    let ask = async {
        for turn in 0..3 {
            let (status, text, attempt) = get(&upstreams).await.expect("an answer");
            assert_eq!((status, &*text, attempt.attempts, attempt.reused), (StatusCode::OK, "ok", 1, turn > 0));
            assert_eq!(attempt.server.as_deref(), Some(&*origin.address().to_string()));
        }
    };
    join!(serve, ask);
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_closed_while_idle_is_not_used() {
    let (origin, upstreams) = pair().await;
    let serve = async {
        origin.answer(PLAIN).await;
        origin.answer(PLAIN).await;
    };
    let ask = async {
        get(&upstreams).await.expect("an answer");
        assert_eq!(get(&upstreams).await.expect("another").1, "ok");
    };
    join!(serve, ask);
}

/// The origin closes when the second request has reached it: no check beforehand can see that.
async fn after_a_close_under_way<B: Payload>(method: Method, body: B) -> Result<(StatusCode, u32), SendError> {
    let (origin, upstreams) = pair().await;
    let serve = async {
        let mut first = origin.accept().await;
        first.answer(PLAIN).await;
        first.head().await;
        drop(first);
        origin.answer(PLAIN).await;
    };
    let ask = async {
        get(&upstreams).await.expect("an answer");
        let answered = send_with(&upstreams, method, body, TIMES).await.map_err(|failed| failed.error)?;
        Ok((answered.head.status, answered.attempt.attempts))
    };
    tokio::select! {
        outcome = ask => outcome,
        () = async { serve.await; std::future::pending().await } => unreachable!("pends"),
    }
}

#[tokio::test(flavor = "local")]
async fn an_idempotent_request_is_sent_again_if_a_reused_connection_closes_unanswered() {
    let again = after_a_close_under_way(Method::GET, none()).await;
    assert_eq!(again.expect("an answer"), (StatusCode::OK, 2));

    let posted = after_a_close_under_way(Method::POST, none()).await;
    assert!(matches!(posted, Err(SendError::Reset(_))), "POST is not idempotent: {posted:?}");

    let put = after_a_close_under_way(Method::PUT, full("gone")).await;
    assert!(matches!(put, Err(SendError::Reset(_))), "the body is spent: {put:?}");
}

#[tokio::test(flavor = "local")]
async fn a_connection_is_used_again_only_after_a_clean_end() {
    for clean in [
        PLAIN,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert!(is_used_again(Method::GET, clean).await, "{clean:?}");
    }
    assert!(is_used_again(Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await);
}

#[tokio::test(flavor = "local")]
async fn a_connection_is_closed_after_any_other_end() {
    for dirty in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        assert!(!is_used_again(Method::GET, dirty).await, "{dirty:?}");
    }
}

/// Whether the next request comes on the connection that carried `answer`. If not, that one is closed.
async fn is_used_again(method: Method, answer: &str) -> bool {
    let (origin, upstreams) = pair().await;
    let serve = async {
        let mut first = origin.accept().await;
        first.answer(answer).await;
        if first.has_another().await {
            return first.say(PLAIN).await;
        }
        origin.answer(PLAIN).await;
    };
    let ask = async {
        let answered = send_with(&upstreams, method, none(), TIMES).await.expect("an answer");
        text(body(answered.content)).await.expect("a whole body");
        get(&upstreams).await.expect("another")
    };
    let ((), (_, text, attempt)) = join!(serve, ask);
    assert_eq!(text, "ok");
    attempt.reused
}

#[tokio::test(flavor = "local")]
async fn dropping_either_half_closes_the_connection() {
    let (origin, upstreams) = pair().await;
    let mut peer = {
        let asking = send_with(&upstreams, Method::GET, none(), TIMES);
        tokio::select! {
            _ = asking => panic!("nobody answered"),
            peer = async { let mut peer = origin.accept().await; peer.head().await; peer } => peer,
        }
    };
    peer.closed().await;

    let serve = async {
        let mut peer = origin.accept().await;
        peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").await;
        peer
    };
    let (mut peer, answered) = join!(serve, send_with(&upstreams, Method::GET, none(), TIMES));
    drop(answered);
    peer.closed().await;
}

#[tokio::test(flavor = "local")]
async fn idle_connections_are_not_kept_past_their_time_or_beyond_their_number() {
    for change in [
        (|limits: &mut Limits, _: &mut UpstreamSpec| limits.pool_idle_time = Duration::ZERO) as fn(&mut Limits, &mut UpstreamSpec),
        |limits, _| limits.pool_age = Duration::ZERO,
        |limits, _| limits.pool_idle = 0,
        |_, spec| spec.pool_idle = Some(0),
    ] {
        let origin = Origin::new().await;
        let upstreams = upstreams_with(&[origin.address()], change);
        let serve = async {
            for _ in 0..2 {
                let mut peer = origin.accept().await;
                peer.answer(PLAIN).await;
                peer.closed().await;
            }
        };
        let ask = async {
            get(&upstreams).await.expect("an answer");
            assert!(!get(&upstreams).await.expect("another").2.reused);
            // What is still in the pool goes with it.
            drop(upstreams);
        };
        join!(serve, ask);
    }
}

#[tokio::test(flavor = "local")]
async fn the_sweeper_ends_with_its_upstreams() {
    let upstreams = upstreams_with(&[refusing().await], |_, _| {});
    get(&upstreams).await.expect_err("nobody listens");
    let sweeper = upstreams.sweeper.get().expect("started").clone();
    assert!(!sweeper.is_finished());

    drop(upstreams);
    tokio::task::yield_now().await;

    assert!(sweeper.is_finished());
}
