//! SIGTERM: what runs is finished, what idles is closed, then the process leaves with 0.

use crate::plain_site;
use portcullis_tests::{Origin, Proxy, Raw, origin, tools};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_running_request_is_finished() {
    let origin = Origin::echo();
    let mut proxy = plain_site(&origin);
    let mut busy = Raw::connect(proxy.http());
    let mut idle = Raw::connect(proxy.http());
    idle.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    busy.send("GET /slow/800 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    while origin.requests().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let address = proxy.http();
    proxy.terminate();
    assert!(idle.closed(), "an idle connection is closed at once");
    let response = busy.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn without_connections_it_leaves_at_once() {
    let origin = Origin::echo();
    let mut proxy = plain_site(&origin);
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(2)), Some(0));
}

/// Answers a download piece by piece over about 1.5 s, an upload when it is whole, and an upgrade by echoing.
fn slow_origin() -> Origin {
    Origin::serve(|stream, seen| {
        let Some((head, mut body)) = origin::read_head(stream) else { return };
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().unwrap().push(head);
        let mut chunk = [0; 1024];
        match &*path {
            "/down" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for _ in 0..15 {
                    let _ = stream.write_all(b"1\r\nx\r\n");
                    std::thread::sleep(Duration::from_millis(100));
                }
                let _ = stream.write_all(b"0\r\n\r\n");
            }
            "/up" => {
                while body.len() < 10 {
                    let Ok(count @ 1..) = stream.read(&mut chunk) else { return };
                    body.extend_from_slice(&chunk[..count]);
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall");
            }
            _ => {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                while let Ok(count @ 1..) = stream.read(&mut chunk) {
                    let _ = stream.write_all(&chunk[..count]);
                }
            }
        }
    })
}

#[test]
fn downloads_uploads_and_upgraded_connections_are_finished() {
    let origin = slow_origin();
    let mut proxy = plain_site(&origin);
    let [mut down, mut up, mut upgraded] = [(); 3].map(|()| Raw::connect(proxy.http()));
    down.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
    up.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    upgraded.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    upgraded.until(b"\r\n\r\n").unwrap();
    while origin.requests().len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.terminate();
    proxy.logged("stopping");
    assert_eq!(upgraded.send("still").exactly(5).unwrap(), b"still");
    assert_eq!(up.send("world").response().text(), "all");
    assert_eq!(down.response().text(), "x".repeat(15));
    assert!(proxy.alive(), "an upgraded connection holds the process");
    assert_eq!(upgraded.send("there").exactly(5).unwrap(), b"there");
    drop(upgraded);
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
}

#[test]
fn what_is_cut_is_logged_as_stopped_and_not_as_a_client_that_left() {
    let origin = slow_origin();
    let mut proxy = Proxy::start(&format!(
        "[limits]\nstop = \"300ms\"\nstop-upgraded = \"600ms\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let [mut down, mut up, mut upgraded, mut left] = [(); 4].map(|()| Raw::connect(proxy.http()));
    down.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
    up.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    upgraded.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    upgraded.until(b"\r\n\r\n").unwrap();
    left.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nbye");
    while origin.requests().len() < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.terminate();
    proxy.logged("stopping");
    drop(left);
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
    let log = proxy.access_log();
    for (line, count) in [
        ("/down HTTP/1.1 200 stopped ", 1),
        ("/up HTTP/1.1 - stopped ", 1),
        ("/ws HTTP/1.1 101 stopped ", 1),
        ("/up HTTP/1.1 - client_gone ", 1),
    ] {
        assert_eq!(log.iter().filter(|found| found.contains(line)).count(), count, "{line}:\n{}", log.join("\n"));
    }
}

#[test]
fn what_is_cut_over_http2_is_logged_as_stopped_too() {
    let origin = slow_origin();
    let mut proxy = Proxy::start(&format!(
        "[limits]\nstop = \"200ms\"\n[site.localhost]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let url = format!("https://localhost:{}/down", proxy.https().port());
    let mut curl = Command::new(tools::need("curl", "curl"))
        .args(["--silent", "--insecure", "--http2", "--output", "/dev/null", &url])
        .spawn()
        .unwrap();
    while origin.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
    assert!(!curl.wait().unwrap().success());
    assert!(proxy.access_log().concat().contains("/down HTTP/2 200 stopped "), "{}", proxy.access_log().join("\n"));
}
