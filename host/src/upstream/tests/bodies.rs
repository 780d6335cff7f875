//! Bodies, both ways: how they are framed, passed on as they come, and end.

use super::super::*;
use super::rig::*;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;

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
            .send(
                0,
                Outgoing {
                    head: &request,
                    body: none(),
                    upgrade,
                    interim: crate::message::Interim::NOBODY,
                    times: TIMES,
                    client: &client(),
                    from: std::net::IpAddr::from([127, 0, 0, 1]),
                    guide: None,
                    trail: None,
                    retry: None,
                },
            )
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
