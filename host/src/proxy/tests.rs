//! The corridor from end to end: native filters as links, an origin that talks bytes over TCP.

mod rig;

use super::*;
use crate::chain::{Cause, Decision, Edit, Verdict};
use crate::config::{AccessLog, FieldMatch, TlsSpec};
use crate::message::{Answer, Reply, Switched};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use rig::{Native, Origin, Rig, Said, get, run};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nserver: o\r\ncontent-length: 5\r\n\r\nhello";

fn edit(edits: impl IntoIterator<Item = Edit>) -> Result<Decision, Fault> {
    Ok(Decision { verdict: Verdict::Next, edits: edits.into_iter().collect() })
}

fn decide(verdict: Verdict) -> Result<Decision, Fault> {
    Ok(Decision { verdict, edits: Default::default() })
}

fn append(name: &'static str, value: &'static str) -> Edit {
    Edit::AppendHeader(http::HeaderName::from_static(name), HeaderValue::from_static(value))
}

fn teapot() -> Verdict {
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("text/x-tea"))]);
    Verdict::Reply(Box::new(Reply { status: StatusCode::IM_A_TEAPOT, headers, body: "tea".into() }))
}

fn fault(open: bool) -> Result<Decision, Fault> {
    Err(Fault { cause: Cause::Trap, detail: "guest says s3cret".into(), report: "guest says s3cret".into(), open })
}

/// The wall takes it as it is; that this compiles is the test.
fn fits<F: Filter + 'static>(proxy: Rc<Proxy<F>>) -> impl crate::listen::Handler {
    move |connection, received| Rc::clone(&proxy).handle(connection, received)
}

#[test]
fn handle_is_what_the_listening_wall_wants() {
    run(async {
        let rig = Rig::new(&Origin::start(OK).await, vec![]);
        let body = crate::listen::Body::empty();
        let Received { method, target, version, headers, interim, .. } = get("/").received();
        let received = Received { method, target, version, headers, body, interim };
        let handler = fits(Rc::clone(&rig.proxy));
        assert!(matches!(crate::listen::Handler::handle(&handler, rig::connection(false), Ok(received)).await, Answer::Respond(_)));
    });
}

#[test]
fn request_is_cleaned_forwarded_and_answered() {
    run(async {
        let origin = Origin::start(OK).await;
        let rig = Rig::new(&origin, vec![]);
        let said = rig.ask(get("/a/../b?q=1").with("connection", "x-mine").with("x-mine", "1").with("accept", "*/*")).await;
        assert_eq!(said, Said { status: 200, headers: vec![("server", "o")].into(), body: "hello".into() });
        let expected = "GET /b?q=1 HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\nx-forwarded-for: 192.0.2.7\r\n\
                        forwarded: for=192.0.2.7;host=a.test;proto=http\r\nx-forwarded-proto: http\r\nx-forwarded-host: a.test\r\n\r\n";
        assert_eq!(origin.heard().await, expected);
        assert_eq!(rig.proxy.active(), 0);
    });
}

#[test]
fn links_see_the_request_in_order_and_the_response_in_reverse() {
    run(async {
        let origin = Origin::start(OK).await;
        let both = |name: &'static str| {
            Native::new().request(move |_, _| edit([append("x-seen", name)])).response(move |_, _, _| edit([append("x-seen", name)]))
        };
        let rig = Rig::new(&origin, vec![both("one"), both("two")]);
        let said = rig.ask(get("/")).await;
        assert_eq!(said.all("x-seen"), ["two", "one"]);
        assert!(origin.heard().await.contains("x-seen: one\r\nx-seen: two\r\n"));
    });
}

#[test]
fn reply_of_a_link_is_seen_by_those_before_it_and_the_origin_is_not_asked() {
    run(async {
        let origin = Origin::start(OK).await;
        let before = Native::new().response(|_, _, head| edit([append("x-status", if head.status == 418 { "418" } else { "?" })]));
        let rig = Rig::new(&origin, vec![before, Native::new().request(|_, _| decide(teapot()))]);
        let said = rig.ask(get("/")).await;
        assert_eq!((said.status, said.all("x-status"), &*said.body), (418, vec!["418"], "tea"));
        assert!(origin.was_left_alone());
    });
}

#[test]
fn link_can_choose_another_upstream_and_replace_the_response() {
    run(async {
        let (origin, other) = (Origin::start(OK).await, Origin::start(OK).await);
        let rig = Rig::build(
            &[("app", &origin), ("other", &other)],
            vec![Native::new().request(|_, _| decide(Verdict::Forward("other".into())))],
            |_| {},
        );
        assert_eq!(rig.ask(get("/")).await.status, 200);
        assert!(other.heard().await.starts_with("GET / "));
        assert!(origin.was_left_alone());

        let rig = Rig::new(&origin, vec![Native::new().response(|_, _, _| decide(teapot()))]);
        let said = rig.ask(get("/")).await;
        assert_eq!((said.status, said.headers, &*said.body), (418, vec![("content-type", "text/x-tea")].into(), "tea"));
    });
}

#[test]
fn fault_ends_the_exchange_or_not_as_its_policy_says() {
    run(async {
        let origin = Origin::start(OK).await;
        let tag = || Native::new().response(|_, _, _| edit([append("x-tag", "1")]));
        for closed in [Native::new().request(|_, _| fault(false)), Native::new().response(|_, _, _| fault(false))] {
            let said = Rig::new(&origin, vec![tag(), closed]).ask(get("/")).await;
            assert_eq!((said.status, said.all("x-tag")), (500, vec!["1"]));
            assert_eq!(said.all("proxy-status"), ["portcullis; error=proxy_internal_error; details=\"plugin_trap\""]);
            assert!(!said.body.contains("s3cret"));
        }
        let open = Native::new().request(|_, _| fault(true)).response(|_, _, _| fault(true));
        assert_eq!(Rig::new(&origin, vec![open]).ask(get("/")).await.status, 200);
        let lost = Native::new().request(|_, _| decide(Verdict::Forward("nowhere".into())));
        let said = Rig::new(&origin, vec![lost]).ask(get("/")).await;
        assert_eq!(said.all("proxy-status"), ["portcullis; error=proxy_internal_error; details=\"plugin_bad_output\""]);
    });
}

#[test]
fn abort_gives_no_answer_in_either_phase() {
    run(async {
        let origin = Origin::start(OK).await;
        for link in [Native::new().request(|_, _| decide(Verdict::Abort)), Native::new().response(|_, _, _| decide(Verdict::Abort))] {
            let rig = Rig::new(&origin, vec![link]);
            assert!(matches!(rig.answer(get("/")).await, Answer::Abort));
            assert!(rig.lines().contains(" - plugin_abort "));
        }
    });
}

#[test]
fn what_cannot_be_routed_is_answered_with_its_reason() {
    run(async {
        let origin = Origin::start(OK).await;
        let rig = Rig::build(&[("app", &origin)], vec![], |config| {
            let mut post = router::tests::route("/only-post/*");
            post.matches.methods = vec![http::Method::POST];
            let nowhere = router::tests::route("/nowhere/*");
            config.sites[0].routes = vec![post, nowhere];
            config.sites.push(router::tests::site("tls.test", vec![router::tests::route("/*")]));
            config.sites[1].tls = TlsSpec::Local;
            config.listen.https = vec![(std::net::SocketAddr::from(([0, 0, 0, 0], 8443)).into(), None)];
        });
        let cases = [
            (get("/").with("host", "b.test"), 404, "portcullis; error=destination_not_found; details=\"no_site\""),
            (get("/else"), 404, "portcullis; error=destination_not_found; details=\"no_route\""),
            (get("/only-post/x"), 404, "portcullis; error=destination_not_found; details=\"no_route\""),
            (get("/nowhere/x"), 500, "portcullis; error=proxy_configuration_error; details=\"no_destination\""),
            (get("/").tls(), 421, "portcullis; error=http_request_denied; details=\"misdirected\""),
            (get("/%00"), 400, "portcullis; error=http_request_error; details=\"bad_target\""),
        ];
        for (request, status, proxy_status) in cases {
            let said = rig.ask(request).await;
            assert_eq!((said.status, said.all("proxy-status")), (status, vec![proxy_status]));
        }
        let said = rig.ask(get("/x/../y?q=1").with("host", "TLS.test:8080")).await;
        assert_eq!((said.status, said.all("location")), (308, vec!["https://tls.test:8443/y?q=1"]));
        let malformed = rig.answer_to(Err(Malformed::LengthAndChunked)).await;
        assert_eq!(Said::of(malformed).await.status, 400);
        assert_eq!(rig.lines().lines().count(), 8);
        assert!(origin.was_left_alone());
    });
}

#[test]
fn origin_that_fails_gives_502_or_504() {
    run(async {
        let cases = [
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n", "http_protocol_error; details=\"bad_response\""),
            ("", "connection_terminated; details=\"origin_reset\""),
        ];
        for (response, expected) in cases {
            let said = Rig::new(&Origin::start(response).await, vec![]).ask(get("/")).await;
            assert_eq!((said.status, said.all("proxy-status")), (502, vec![&*format!("portcullis; error={expected}")]));
        }
        let gone = Origin::gone().await;
        let said = Rig::new(&gone, vec![]).ask(get("/")).await;
        assert_eq!((said.status, said.body.starts_with("502 Bad Gateway: connect_refused\n")), (502, true));

        let silent = Origin::silent().await;
        let hurry = Native::new().request(|_, _| edit([Edit::SetAttribute("timeout.response".into(), "30ms".into())]));
        let said = Rig::new(&silent, vec![hurry]).ask(get("/")).await;
        assert_eq!((said.status, said.body.starts_with("504 Gateway Timeout: response_timeout\n")), (504, true));
        let rig = Rig::build(&[("app", &silent)], vec![], |config| {
            config.sites[0].routes[0].timeouts.total = Some(Duration::from_millis(30));
        });
        assert!(rig.ask(get("/")).await.body.starts_with("504 Gateway Timeout: exchange_timeout\n"));
    });
}

#[test]
fn head_keeps_the_length_that_the_origin_states_and_invents_none() {
    run(async {
        let head = || rig::request("HEAD", "/");
        let stated = Origin::start("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
        let Answer::Respond(response) = Rig::new(&stated, vec![]).answer(head()).await else { panic!("an answer") };
        assert_eq!(response.headers()["content-length"], "5");
        let unstated = Origin::start("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let rig = Rig::new(&unstated, vec![]);
        let Answer::Respond(response) = rig.answer(head()).await else { panic!("an answer") };
        assert_eq!(response.headers().get("content-length"), None);
        assert!(response.body().is_end_stream());
        drop(response);
        assert!(rig.lines().contains(" 200 - "), "a HEAD is over without a body");
    });
}

#[test]
fn what_links_must_not_see_still_reaches_the_other_side() {
    run(async {
        let origin =
            Origin::start("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\n\r\n").await;
        let hidden = |headers: &HeaderMap| assert!(!headers.contains_key("te") && !headers.contains_key("trailer"));
        let link = Native::new().request(move |_, head| {
            hidden(&head.headers);
            edit([])
        });
        let link = link.response(move |_, _, head| {
            hidden(&head.headers);
            edit([])
        });
        let said = Rig::new(&origin, vec![link]).ask(get("/").with("te", "trailers, gzip").with("trailer", "x-in")).await;
        assert_eq!((said.all("trailer"), &*said.body), (vec!["x-sum"], "a[x-sum: 1]"));
        let heard = origin.heard().await;
        assert!(heard.contains("\r\nte: trailers\r\n") && heard.contains("\r\ntrailer: x-in\r\n"), "{heard}");
    });
}

#[test]
fn access_line_says_it_all_once() {
    run(async {
        let origin = Origin::start(OK).await;
        let link = Native::new()
            .request(|_, _| edit([Edit::SetPath("/rewritten".into()), Edit::SetAttribute("log.tenant".into(), "acme".into())]));
        let rig = Rig::new(&origin, vec![link]);
        rig.ask(rig::request("POST", "/asked?token=t").body("abc")).await;
        let lines = rig.lines();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        for part in [
            " 192.0.2.7 POST http://a.test/asked?token=*** HTTP/1.1 200 - site=a.test route=/* upstream=app server=127.0.0.1:",
            " in=3 out=5 links=link-0:edited log.tenant=acme\n",
        ] {
            assert!(lines.contains(part), "{lines}");
        }
    });
}

#[test]
fn body_that_says_it_has_ended_is_not_asked_again_and_still_whole() {
    run(async {
        let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n186a0\r\n{}\r\n0\r\n\r\n", "x".repeat(100_000));
        let rig = Rig::new(&Origin::start(chunked.leak()).await, vec![]);
        let Answer::Respond(mut response) = rig.answer(get("/")).await else { panic!("an answer") };
        while !response.body().is_end_stream() {
            response.body_mut().frame().await.expect("a frame").expect("sound");
        }
        drop(response);
        let lines = rig.lines();
        assert!(lines.contains(" 200 - ") && lines.contains(" out=100000"), "{lines}");
    });
}

#[test]
fn client_that_leaves_is_counted_out_and_logged() {
    run(async {
        let rig = Rig::new(&Origin::start("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart").await, vec![]);
        let answer = rig.answer(get("/")).await;
        assert_eq!(rig.proxy.active(), 1);
        drop(answer);
        assert_eq!(rig.proxy.active(), 0);
        assert!(rig.lines().contains(" 200 client_gone "));

        let silent = Origin::silent().await;
        let rig = Rig::new(&silent, vec![]);
        let waited = tokio::time::timeout(Duration::from_millis(20), rig.answer(get("/"))).await;
        assert!(waited.is_err());
        assert_eq!(rig.proxy.active(), 0);
        assert!(rig.lines().contains(" - client_gone "));
    });
}

#[test]
fn body_that_breaks_off_at_the_origin_is_an_error_and_has_its_reason() {
    run(async {
        let rig = Rig::new(&Origin::start("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart").await, vec![]);
        let said = rig.ask(get("/")).await;
        assert_eq!(said.body, "part[the origin went away]");
        assert!(rig.lines().contains(" 200 origin_gone "));
    });
}

#[test]
fn upgraded_connection_carries_bytes_both_ways_until_both_sides_end() {
    run(async {
        let origin =
            Origin::start("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly ").await.echoing();
        let rig = Rig::new(
            &origin,
            vec![Native::new().response(|_, _, head| edit([append("x-status", if head.status == 101 { "101" } else { "?" })]))],
        );
        let Answer::Switch(head, takeover) = rig.answer(get("/").with("connection", "Upgrade").with("upgrade", "echo")).await else {
            panic!("a switch")
        };
        assert_eq!(
            (&head.headers()["upgrade"], &head.headers()["x-status"]),
            (&HeaderValue::from_static("echo"), &HeaderValue::from_static("101"))
        );
        assert!(origin.heard().await.contains("connection: upgrade\r\nupgrade: echo\r\n"));
        let (mut client, io) = tokio::io::duplex(64);
        let taken = tokio::task::spawn_local(takeover(Switched { io: Box::new(io), early: "ping ".into() }));
        client.write_all(b"pong").await.expect("written");
        client.shutdown().await.expect("half closed");
        let mut all = String::new();
        client.read_to_string(&mut all).await.expect("read");
        taken.await.expect("no panic");
        assert_eq!(all, "early ping pong");
        let lines = rig.lines();
        assert!(lines.contains(" 101 - ") && lines.contains(" in=9 out=15 "), "{lines}");
    });
}

#[test]
fn upgrade_that_the_origin_declines_is_an_ordinary_exchange() {
    run(async {
        let rig = Rig::new(&Origin::start(OK).await, vec![]);
        let said = rig.ask(get("/").with("connection", "upgrade").with("upgrade", "echo")).await;
        assert_eq!((said.status, &*said.body), (200, "hello"));
    });
}

#[test]
fn silent_upgraded_connection_ends_by_itself() {
    run(async {
        let origin = Origin::start("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.echoing();
        let rig = Rig::build(&[("app", &origin)], vec![], |config| config.limits.upgraded_idle = Duration::from_millis(20));
        let Answer::Switch(_, takeover) = rig.answer(get("/").with("connection", "upgrade").with("upgrade", "echo")).await else {
            panic!("a switch")
        };
        let (_client, io) = tokio::io::duplex(64);
        takeover(Switched { io: Box::new(io), early: Bytes::new() }).await;
        assert!(rig.lines().contains(" 101 upgraded_idle "));
    });
}

#[test]
fn running_exchange_keeps_its_snapshot_when_another_is_installed() {
    run(async {
        let origin = Origin::start(OK).await;
        let rig = Rig::new(&origin, vec![Native::new().response(|_, _, _| edit([append("x-generation", "1")]))]);
        let running = Rc::clone(&rig.proxy).handle(rig::connection(false), Ok(get("/").received()));
        rig.reload(|config| config.server.access_log = AccessLog::Off);
        assert_eq!(Said::of(running.await).await.all("x-generation"), ["1"]);
        assert_eq!(rig.ask(get("/")).await.all("x-generation"), Vec::<&str>::new());
        assert_eq!(rig.proxy.snapshot().generation, 2);
        assert_eq!(rig.lines().lines().count(), 1, "the second was not logged");
    });
}

#[test]
fn link_is_entered_only_when_its_condition_holds() {
    run(async {
        let origin = Origin::start(OK).await;
        let link = Native::new().request(|_, _| decide(teapot()));
        let rig = Rig::build(&[("app", &origin)], vec![link], |config| {
            let header = FieldMatch { name: "x-tea".into(), value: None };
            config.sites[0].routes[0].chain[0].when =
                Some(crate::config::When { path: None, methods: vec![], headers: vec![header], query: vec![] });
        });
        assert_eq!(rig.ask(get("/")).await.status, 200);
        assert_eq!(rig.ask(get("/").with("x-tea", "1")).await.status, 418);
    });
}
