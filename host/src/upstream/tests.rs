//! Against real sockets: an origin that is told byte by byte what to say.

mod rig;

use super::*;
use crate::config::ServerAddress;
use crate::wire::MalformedResponse;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use rig::*;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
async fn bodies_are_framed_by_what_is_known_of_them() {
    let (origin, upstreams) = pair().await;
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), HeaderValue::from_static("9"))]);
    let serve = async {
        let mut peer = origin.accept().await;
        assert_eq!(peer.until("hello").await, "POST /x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 5\r\n\r\nhello");
        peer.say(PLAIN).await;
        assert_eq!(peer.answer(PLAIN).await, "POST /x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(peer.answer(PLAIN).await, "DELETE /x HTTP/1.1\r\nhost: a.example\r\n\r\n");
        assert_eq!(peer.head().await, "PUT /x HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(peer.until("\r\n\r\n").await, "3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 9\r\n\r\n");
        peer.say(PLAIN).await;
    };
    let ask = async {
        let posted = send_with(&upstreams, Method::POST, full("hello"), TIMES).await.expect("an answer");
        assert_eq!(text(body(posted.content)).await.expect("whole"), "ok");
        send_with(&upstreams, Method::POST, none(), TIMES).await.expect("an answer");
        send_with(&upstreams, Method::DELETE, none(), TIMES).await.expect("an answer");
        let mut pieces = script(&["abc", "de"], None);
        pieces.frames.push_back(Some(Ok(Frame::trailers(trailers))));
        let put = send_with(&upstreams, Method::PUT, pieces, TIMES).await.expect("an answer");
        assert!(put.attempt.reused);
    };
    join!(serve, ask);
}

#[tokio::test(flavor = "local")]
async fn a_response_that_comes_in_pieces_is_passed_on_as_it_comes() {
    let (origin, upstreams) = pair().await;
    let answered = {
        let serve = async {
            let mut peer = origin.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            peer
        };
        join!(serve, send_with(&upstreams, Method::GET, none(), TIMES))
    };
    let (mut peer, answered) = (answered.0, answered.1.expect("an answer"));
    let mut body = body(answered.content);
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None));

    peer.say("3\r\nabc\r\n").await;
    assert_eq!(body.frame().await.expect("a frame").expect("sound").into_data().expect("data"), "abc");
    peer.say("2\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n").await;
    assert_eq!(body.frame().await.expect("a frame").expect("sound").into_data().expect("data"), "de");
    assert_eq!(body.frame().await.expect("a frame").expect("sound").into_trailers().expect("trailers")["x-sum"], "9");
    assert!(body.is_end_stream());

    let serve = async {
        peer.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 8\r\n\r\n").await;
    };
    let ((), answered) = join!(serve, send_with(&upstreams, Method::GET, none(), TIMES));
    let body = self::body(answered.expect("on the same connection").content);
    // A stated length would leave no room for them.
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, None));
    let collected = body.collect().await.expect("sound");
    assert_eq!(collected.trailers().expect("trailers")["x-sum"], "8");
}

#[tokio::test(flavor = "local")]
async fn a_body_until_close_ends_with_the_connection() {
    let (origin, upstreams) = pair().await;
    let serve = async {
        let mut peer = origin.accept().await;
        peer.answer("HTTP/1.0 200 OK\r\n\r\nall ").await;
        peer.say("of it").await;
    };
    let ((), outcome) = join!(serve, get(&upstreams));
    assert_eq!(outcome.expect("an answer").1, "all of it");
}

#[tokio::test(flavor = "local")]
async fn a_body_cut_short_is_an_error() {
    for (answer, malformed) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort!", true),
    ] {
        let (origin, upstreams) = pair().await;
        let serve = origin.answer(answer);
        let ((), answered) = join!(serve, send_with(&upstreams, Method::GET, none(), TIMES));
        let error = text(body(answered.expect("a head").content)).await.expect_err("cut short");
        let expected =
            if malformed { matches!(error, BodyError::OriginMalformed(_)) } else { matches!(error, BodyError::OriginGone(None)) };
        assert!(expected, "{answer:?}: {error:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn a_large_body_arrives_whole() {
    const SIZE: usize = 3 << 20;
    let (origin, upstreams) = pair().await;
    let large: String = (0..SIZE / 8).map(|number| format!("{number:8}")).collect();
    let serve = async {
        let mut peer = origin.accept().await;
        peer.until("\r\n\r\n").await;
        while peer.got.len() < SIZE {
            peer.io.read_buf(&mut peer.got).await.expect("readable");
        }
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        let echo = peer.got.split();
        peer.io.write_all(&echo).await.expect("writable");
    };
    let ask = async {
        let pieces: Vec<_> = large.as_bytes().chunks(50_000).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let pieces = Script { frames: pieces.into_iter().map(Some).collect(), length: Some(SIZE as u64) };
        let answered = send_with(&upstreams, Method::POST, pieces, TIMES).await.expect("an answer");
        let body = body(answered.content);
        assert_eq!(body.size_hint().exact(), Some(SIZE as u64));
        assert!(text(body).await.expect("whole") == large);
    };
    join!(serve, ask);
}

#[tokio::test(flavor = "local")]
async fn a_response_before_the_request_s_end_is_passed_on_while_the_rest_is_sent() {
    let (origin, upstreams) = pair().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let pieces = from_channel(receiver);
    sender.send("one ").await.expect("room");
    let serve = async {
        let mut peer = origin.accept().await;
        peer.until("4\r\none \r\n").await;
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n").await;
        peer
    };
    let (mut peer, answered) = join!(serve, send_with(&upstreams, Method::POST, pieces, TIMES));
    let mut body = body(answered.expect("a head").content);
    assert_eq!(body.frame().await.expect("a frame").expect("sound").into_data().expect("data"), "yes");

    sender.send("two").await.expect("room");
    drop(sender);
    let serve = async {
        peer.until("3\r\ntwo\r\n0\r\n\r\n").await;
        peer.say("0\r\n\r\n").await;
    };
    let ((), end) = join!(serve, body.frame());
    assert!(end.is_none());

    let serve = async {
        peer.answer(PLAIN).await;
    };
    let ((), (_, _, attempt)) = join!(serve, async { get(&upstreams).await.expect("both messages were whole") });
    assert!(attempt.reused);
}

#[tokio::test(flavor = "local")]
async fn a_refusal_before_the_request_s_end_is_passed_on_and_the_connection_closed() {
    let (origin, upstreams) = pair().await;
    let (_sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let serve = origin.answer_and_wait("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    let ask = async {
        let answered = send_with(&upstreams, Method::POST, from_channel(receiver), TIMES).await.expect("an answer");
        assert_eq!(answered.head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(body(answered.content).is_end_stream());
    };
    join!(serve, ask);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_fails_ends_the_request() {
    let (origin, upstreams) = pair().await;
    let mut gone = script(&["part"], Some(10));
    gone.frames.push_back(Some(Err(BodyError::ClientGone(None))));
    let serve = async { origin.accept().await.closed().await };
    let ((), outcome) = join!(serve, send_with(&upstreams, Method::POST, gone, TIMES));
    assert!(matches!(outcome.err().map(|failed| failed.error), Some(SendError::Client(BodyError::ClientGone(None)))));

    let serve = async { origin.accept().await.closed().await };
    let ((), outcome) = join!(serve, send_with(&upstreams, Method::POST, script(&["part"], Some(10)), TIMES));
    assert!(matches!(outcome.err().map(|failed| failed.error), Some(SendError::Client(BodyError::ClientMalformed(_)))));
}

#[tokio::test(flavor = "local")]
async fn a_switch_hands_over_the_connection_with_what_came_early() {
    let (origin, upstreams) = pair().await;
    let request = head(Method::GET);
    let upgrade = Some(HeaderValue::from_static("echo"));
    let serve = async {
        let mut peer = origin.accept().await;
        let asked = peer.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
        assert_eq!(asked, "GET /x HTTP/1.1\r\nhost: a.example\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        assert_eq!(peer.until("ping").await, "ping");
        peer.say("pong").await;
    };
    let ask = async {
        let answered = upstreams
            .send(0, Outgoing { head: &request, body: none(), upgrade, times: TIMES, client: &client() })
            .await
            .expect("an answer");
        let Content::Switched(mut switched) = answered.content else { panic!("not switched") };
        assert_eq!((answered.head.status, &switched.early[..]), (StatusCode::SWITCHING_PROTOCOLS, &b"early"[..]));
        switched.io.write_all(b"ping").await.expect("writable");
        let mut pong = [0; 4];
        switched.io.read_exact(&mut pong).await.expect("readable");
        assert_eq!(&pong, b"pong");
    };
    join!(serve, ask);
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

#[tokio::test(flavor = "local")]
async fn names_are_resolved_and_unknown_ones_are_errors() {
    let origin = Origin::new().await;
    let port = origin.address().port();
    let upstreams = upstreams_with(&[], |_, spec| spec.servers = vec![ServerAddress::Tcp { host: "localhost".into(), port }]);
    let serve = origin.answer(PLAIN);
    let ((), outcome) = join!(serve, get(&upstreams));
    assert_eq!(outcome.expect("an answer").1, "ok");

    let upstreams = upstreams_with(&[], |_, spec| spec.servers = vec![ServerAddress::Tcp { host: "no.such.name.invalid".into(), port }]);
    assert!(matches!(get(&upstreams).await, Err(SendError::Connect(_))));
}

#[test]
fn upstreams_are_found_by_name() {
    let upstreams = upstreams_with(&[], |_, _| {});
    assert_eq!(upstreams.index("app"), Some(0));
    assert_eq!(upstreams.name(0).map(|name| &**name), Some("app"));
    assert_eq!((upstreams.index("nope"), upstreams.name(1)), (None, None));
}
