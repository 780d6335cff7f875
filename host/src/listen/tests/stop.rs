//! Graceful stop.

use super::kit::{Server, run};
use crate::config::Limits;
use std::time::Duration;
use tokio::net::TcpStream;

const HELLO: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn idle_connections_end_at_once_and_busy_ones_after_their_exchange() {
    run(async {
        let server = Server::plain(Limits::default());
        let (mut idle, mut busy) = (server.connect().await, server.connect().await);
        idle.send(HELLO).await;
        idle.until("hello").await;
        busy.send(format!("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n{HELLO}")).await;
        server.log.wait_for("waiting").await;

        server.stopper.drain();
        assert_eq!(idle.rest().await, "");
        assert!(TcpStream::connect(server.addr).await.is_err(), "the listening socket is closed");
        assert!(!server.serving.is_finished());
        server.log.note("go on");
        assert_eq!(busy.rest().await, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nwaited");
        server.serving.await.expect("no panic").expect("served");
        assert_eq!(server.gate.open(), 0);
    });
}

#[test]
fn a_request_that_is_already_there_is_answered() {
    run(async {
        let server = Server::plain(Limits::default());
        // Written before the accept loop runs for the first time.
        let mut client = std::net::TcpStream::connect(server.addr).expect("connected");
        std::io::Write::write_all(&mut client, HELLO.as_bytes()).expect("written");
        server.stopper.drain();
        server.serving.await.expect("no panic").expect("served");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut client, &mut answer).expect("closed, not reset");
        assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    });
}

#[test]
fn what_does_not_end_is_cut_off_and_upgraded_connections_get_longer() {
    run(async {
        let stop = Duration::from_millis(50);
        let server = Server::plain(Limits { stop, stop_upgraded: stop * 4, ..Limits::default() });
        let (mut hanging, mut switched) = (server.connect().await, server.connect().await);
        hanging.send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n").await;
        switched.send("GET /switch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        switched.until("\r\n\r\n").await;
        server.log.wait_for("hanging").await;

        server.stopper.drain();
        assert_eq!(hanging.rest().await, "");
        switched.send("still there").await;
        switched.until("still there").await;
        assert_eq!(switched.rest().await, "");
        server.serving.await.expect("no panic").expect("served");
    });
}
