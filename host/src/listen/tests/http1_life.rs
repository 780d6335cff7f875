//! HTTP/1.1, the connection's life: time, going away, handing over.

use super::kit::{Client, Server, run};
use crate::config::Limits;
use std::time::Duration;
use tokio::io::AsyncReadExt;

const SHORT: Duration = Duration::from_millis(60);
const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
const HELLOED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[test]
fn a_head_that_takes_too_long_is_told_so() {
    run(async {
        let server = Server::plain(Limits { header_read: SHORT, ..Limits::default() });
        let mut client = server.connect().await;
        client.send(format!("{HELLO}GET /hel")).await;
        assert_eq!(client.until("hello").await, HELLOED);
        assert!(client.rest().await.ends_with("\r\n\r\nhead_timeout"));
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    run(async {
        let server = Server::plain(Limits { keep_alive: SHORT, ..Limits::default() });
        assert_eq!(server.whole("").await, "");
        assert_eq!(server.whole(HELLO).await, HELLOED);
    });
}

#[test]
fn a_body_that_pauses_too_long_fails() {
    run(async {
        let server = Server::plain(Limits { body_idle: SHORT, ..Limits::default() });
        let answer = server.whole("POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nabc").await;
        assert!(answer.contains("connection: close") && answer.ends_with("the client stalled"), "{answer}");
        let answer = server.whole("POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
        assert!(answer.contains("connection: close") && answer.contains("malformed body"), "{answer}");
    });
}

#[test]
fn a_client_that_takes_nothing_is_left_and_the_body_is_not_pulled_ahead() {
    run(async {
        let server = Server::plain(Limits { body_idle: SHORT, ..Limits::default() });
        let mut client = server.connect().await;
        client.send("GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await;
        server.log.wait_for("piece").await;
        while server.gate.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What fits into both sockets' buffers (the kernel's largest are 4 and 6 MiB by default), not what an endless body has.
        let pieces = server.log.lines().len();
        assert!((1..400).contains(&pieces), "{pieces}");
        drop(client);
    });
}

#[test]
fn requests_and_age_are_limited() {
    run(async {
        let server = Server::plain(Limits { keep_alive_requests: 2, ..Limits::default() });
        let answers = server.whole(&HELLO.repeat(3)).await;
        assert_eq!(answers, format!("{HELLOED}{}", HELLOED.replace("5\r\n", "5\r\nconnection: close\r\n")));

        let server = Server::plain(Limits { connection_age: Duration::ZERO, ..Limits::default() });
        assert!(server.whole(HELLO).await.contains("connection: close"));
    });
}

#[test]
fn a_client_that_leaves_cancels_the_handler() {
    run(async {
        for path in ["/hang", "/drip"] {
            let server = Server::plain(Limits::default());
            let mut client = server.connect().await;
            client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n{HELLO}")).await;
            server.log.wait_for(if path == "/hang" { "hanging" } else { "dripping" }).await;
            drop(client);
            server.log.wait_for("dropped").await;
        }
    });
}

#[test]
fn a_body_that_fails_is_seen_as_cut_off() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        client.send("GET /broken HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut text = String::new();
        let _ = client.0.read_to_string(&mut text).await;
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");

        // Where only the end of the connection ends the body, it must be a reset.
        let mut client = server.connect().await;
        client.send("GET /broken HTTP/1.0\r\n\r\n").await;
        assert!(client.0.read_to_string(&mut text).await.is_err());
    });
}

#[test]
fn abort_gives_no_answer() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        client.send("GET /abort HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut bytes = Vec::new();
        let _ = client.0.read_to_end(&mut bytes).await;
        assert_eq!(bytes, b"");
    });
}

#[test]
fn a_switched_connection_carries_anything() {
    run(async {
        let server = Server::plain(Limits::default());
        let mut client = server.connect().await;
        client.send("GET /switch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly").await;
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n";
        assert_eq!(client.until("early").await, format!("{head}early"));
        client.send("late").await;
        assert_eq!(client.until("late").await, "late");
    });
}

#[test]
fn connections_per_client_are_limited() {
    run(async {
        let server = Server::plain(Limits { connections_per_ip: 2, ..Limits::default() });
        let (mut first, mut second) = (server.connect().await, server.connect().await);
        for client in [&mut first, &mut second] {
            client.send(HELLO).await;
            assert_eq!(client.until("hello").await, HELLOED);
        }
        assert_eq!(server.connect().await.rest().await, "");
        drop(first);
        while server.gate.open() > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut third: Client = server.connect().await;
        third.send(HELLO).await;
        assert_eq!(third.until("hello").await, HELLOED);
    });
}
